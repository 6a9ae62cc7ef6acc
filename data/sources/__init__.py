"""Where rows come from: files, folders, object stores, databases; and where they wait while they are imported."""
