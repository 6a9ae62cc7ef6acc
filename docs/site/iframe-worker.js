/* A page opened from the disk may not start a worker. The site's search then runs in a frame that speaks as one. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inner = frame.contentWindow
      inner.importScripts = (...urls) =>
        urls.reduce((done, address) => done.then(() => load(inner.document, new URL(address, url))), Promise.resolve())
      inner.postMessage = data => {
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        this.onmessage?.(event)
      }
      load(inner.document, url).then(() => {
        this.inner = inner
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      })
    }

    postMessage(data) {
      if (!this.inner) return this.waiting.push(data)
      const event = new MessageEvent("message", { data })
      this.inner.dispatchEvent(event)
    }

    terminate() {}
  }
}

function load(page, address) {
  return new Promise((done, failed) => {
    const script = page.createElement("script")
    script.src = address
    script.onload = done
    script.onerror = failed
    page.head.append(script)
  })
}
