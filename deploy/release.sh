#!/bin/sh
# Writes a release into dist/ (`make release`): the wheel and its source, what installs them and in
# which versions, the bill of materials of that installation (CycloneDX), and hashes of all of it,
# which KEY signs (`openssl genpkey -algorithm ed25519 -out release.key.pem`).
#
# PYTHON: an interpreter with the packages `build` and `cyclonedx-bom`.
set -eu
cd "$(dirname "$0")/.."
PYTHON=$(command -v "$PYTHON")
PYTHON=$(realpath --no-symlinks "$PYTHON")

rm -rf dist build
"$PYTHON" -m build --outdir dist . > /dev/null
cp constraints.txt deploy/install.sh dist/
PYTHON=$PYTHON deploy/install.sh venv dist build/installed
"$PYTHON" -m cyclonedx_py environment build/installed --pyproject pyproject.toml --mc-type application \
    --output-reproducible --output-format JSON --output-file dist/repricer.cdx.json
rm -rf build
(cd dist && sha256sum -- * > ../SHA256SUMS && mv ../SHA256SUMS .)
if [ -n "${KEY-}" ]; then
    openssl pkeyutl -sign -rawin -inkey "$KEY" -in dist/SHA256SUMS -out dist/SHA256SUMS.sig
    openssl pkey -in "$KEY" -pubout -out dist/release.pub.pem
else
    echo "not signed: make release KEY=release.key.pem"
fi
ls dist
