// What the first view costs on the wire: the page, its styles and scripts, as they come compressed;
// what a script fetches by itself at once is part of it.

const BYTES_MAX = 60_000
/** Milliseconds after which nothing more belongs to the first view. */
const AT_ONCE = 1_000
const COUNTED = ['Document', 'Stylesheet', 'Script']

export async function weigh(browser, url, check) {
  const { page, close } = await browser.open(url)
  try {
    // What the visit before still fetches is not counted.
    await page.goto('about:blank')
    const wire = await page.context().newCDPSession(page)
    const kinds = new Map()
    let bytes = 0
    await wire.send('Network.enable')
    await wire.send('Network.setCacheDisabled', { cacheDisabled: true })
    wire.on('Network.responseReceived', (event) => kinds.set(event.requestId, event.type))
    wire.on('Network.loadingFinished', (event) => {
      if (COUNTED.includes(kinds.get(event.requestId))) bytes += event.encodedDataLength
    })
    await page.goto(url, { waitUntil: 'load' })
    await page.waitForTimeout(AT_ONCE)
    check(`first view of ${bytes} bytes is light enough`, bytes > 0 && bytes <= BYTES_MAX, true)
  } finally {
    await close()
  }
}
