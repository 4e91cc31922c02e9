// Everything that one can set on the page of an experiment is in its address: windows, the metric
// in front, arms that are open, what came after a change. Links, going back and a second visit
// give the same.

import { on } from './live.mjs'

const WINDOWS = ['24 h', 'all', 'epoch']

/** The label of what is chosen among links of a name. */
function chosen(page, name) {
  return page.locator(`main nav[aria-label="${name}"] [aria-current]`).innerText()
}

/** Waits until a window is chosen: the address is there before the page is. */
function window(page, label) {
  const tab = page.locator('main nav[aria-label="Window"] [aria-current]', { hasText: label })
  return tab.waitFor()
}

const query = (page) => new URL(page.url()).searchParams

async function windows(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const first = await chosen(page, 'Window')
    told('the current epoch first', first.includes('epoch') && !first.includes('all'), true)
    for (const part of WINDOWS) {
      const label = part === 'epoch' ? first : part
      await page.locator('main nav[aria-label="Window"] a', { hasText: label }).first().click()
      await window(page, label)
      const text = await page.locator('main').innerText()
      const decides = !text.includes('without interval or verdict')
      told(`window ${part} decides`, decides, part === 'epoch')
    }
  })
}

async function deep(browser, urls, told) {
  const url = `${urls.experiment}?window=24h&metric=latency_p95&open=B`
  await on(browser, url, told, async (page) => {
    const state = async () => [
      await chosen(page, 'Window'),
      await chosen(page, 'Metric'),
      await page.locator('main [aria-expanded="true"]').count(),
    ]
    const seen = await state()
    told('a deep link restores all', [seen[0].includes('24 h'), seen[1], seen[2]], [true, 'latency p95', 1])
    await page.reload()
    told('so does loading it again', await state(), seen)
  })
}

async function back(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const first = await chosen(page, 'Window')
    await page.locator('main nav[aria-label="Window"] a', { hasText: '24 h' }).click()
    await page.waitForURL(/window=24h/)
    await page.locator('main nav[aria-label="Metric"] a', { hasText: 'latency p95' }).first().click()
    await page.waitForURL(/metric=latency_p95/)
    await page.goBack()
    await page.waitForURL((url) => !url.search.includes('metric='))
    await page.goBack()
    await page.waitForURL((url) => !url.search.includes('window='))
    await window(page, first)
    await page.goForward()
    await page.waitForURL(/window=24h/)
    await window(page, '24 h')
    told('back and forward', query(page).get('metric'), null)
  })
}

/** A change leads to what came after it, with the runs before and after it side by side. */
async function change(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const links = page.locator('main a[href*="after="]:has(time)')
    if ((await links.count()) === 0) {
      const text = await page.locator('main').innerText()
      return told('a page without a change says so', text.includes('Nothing has changed'), true)
    }
    await links.first().click()
    await page.waitForURL(/after=/)
    const diff = page.locator('#diff')
    await diff.waitFor()
    await page.locator('main', { hasText: 'Only after' }).waitFor()
    told('it restricts to what came after', Boolean(query(page).get('after')), true)
    const box = await diff.boundingBox()
    const height = page.viewportSize().height
    told('and the diff is in sight', box !== null && box.y < height && box.y + box.height > 0, true)
    const sentence = await diff.locator('.lead').innerText()
    told('and says what the difference may be put down to', sentence.length > 20, true)
  })
}

async function arms(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const rows = page.locator('main [aria-expanded]')
    await rows.nth(1).click()
    await page.locator('main [aria-expanded="true"]').waitFor()
    const text = await page.locator('main').innerText()
    told('an arm opens to all its metrics', ['Quality', 'Guardrails', 'Cost and latency'].filter((t) => !text.includes(t)), [])
    told('and the address says which', query(page).get('open') !== null, true)
  })
}

export const address = { windows, deep, back, change, arms }
