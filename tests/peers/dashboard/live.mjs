// What the page of an experiment does while one looks at it: it changes without being loaded
// again and loses nothing of where one is; everything is in the address; keys; what is copied;
// and all of it is there without scripts.

import { address } from './address.mjs'
import { plain } from './plain.mjs'

/** Milliseconds in which live traffic must show. */
const SOON = 15_000

export async function live(browser, plan, all, check) {
  const urls = Object.fromEntries(all.map((page) => [page.name, page.url]))
  const told = (what, seen, expected) => check(`${plan.scenario} live: ${what}`, seen, expected)
  const parts = { fresh, still, keys, copies, cursor, motion, colours }
  for (const [name, part] of Object.entries({ ...parts, ...address, ...plain })) {
    try {
      await part(browser, urls, told)
    } catch (error) {
      told(`${name} ends`, error.message.split('\n')[0], '')
    }
  }
}

/** A page with its trouble, which must stay empty to the end. */
export async function on(browser, url, told, look, options = {}) {
  const { page, trouble, close } = await browser.open(url, options)
  try {
    await look(page)
    told(`complaints at ${new URL(page.url()).pathname}`, trouble, [])
  } finally {
    await close()
  }
}

/** Marks the document, so that one that was loaded again can be told. */
const mark = (page) => page.evaluate(() => void (window.__same = true))
const isSame = (page) => page.evaluate(() => window.__same === true)

/** The first number of calls on the page. */
function calls(page) {
  return page.evaluate(() => {
    const found = document.querySelector('main').innerText.match(/([\d,]+)\s+calls/)
    return found ? Number(found[1].replaceAll(',', '')) : null
  })
}

async function changes(page, read, what) {
  const before = await read(page)
  const end = Date.now() + SOON
  while (Date.now() < end) {
    await page.waitForTimeout(200)
    const now = await read(page)
    if (now !== before) return { before, now }
  }
  throw new Error(`${what} did not change in ${SOON} ms`)
}

async function fresh(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    await mark(page)
    const { before, now } = await changes(page, calls, 'the number of calls')
    told('calls grow', now > before, true)
    told('the page was not loaded again', await isSame(page), true)
    const age = (page) => page.evaluate(() => document.querySelector('main time[data-age]')?.textContent)
    await changes(page, age, 'the age of the last call')
  })
  for (const name of ['pipeline', 'home']) {
    await on(browser, urls[name], told, async (page) => {
      await mark(page)
      await changes(page, (page) => page.evaluate(() => document.querySelector('main').innerText), name)
      told(`${name} was not loaded again`, await isSame(page), true)
    })
  }
}

/** Where one has scrolled to, what one has opened and where the focus is stay over an update. */
async function still(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const details = page.locator('main details:has(> summary:visible)').last()
    await details.locator('> summary').click()
    const link = page.locator('main nav[aria-label="Window"] a').last()
    await link.focus()
    await page.evaluate(() => window.scrollTo(0, 700))
    const state = () =>
      page.evaluate(() => ({
        scroll: Math.round(window.scrollY),
        open: document.querySelectorAll('main details[open]').length,
        focus: document.activeElement?.textContent,
      }))
    const before = await state()
    told('it can scroll and open', [before.scroll > 300, before.open], [true, 1])
    await changes(page, calls, 'the number of calls')
    await changes(page, calls, 'the number of calls')
    told('what one sees stays over updates', await state(), before)
  })
}

async function keys(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const help = page.getByRole('dialog')
    told('no help at first', await help.count(), 0)
    await page.keyboard.press('?')
    await help.waitFor()
    told('? opens help', await help.innerText().then((text) => text.includes('Esc')), true)
    await page.keyboard.press('Escape')
    await help.waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'Keys' }).click()
    await help.waitFor()
    await page.keyboard.press('Escape')
    await help.waitFor({ state: 'hidden' })
    await page.keyboard.press('Tab')
    const ring = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement)
      return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
    })
    told('the focus is seen', ring, true)
  })
}

async function copies(browser, urls, told) {
  for (const name of ['compare', 'experiment']) {
    await on(browser, urls[name], told, async (page) => {
      const button = page.getByRole('button', { name: 'Copy as Markdown' }).first()
      const source = await button.getAttribute('data-copy')
      const shown = () => page.evaluate((id) => document.querySelector(id).value, source)
      // The text may be renewed between the click and the look at it.
      let pair
      for (let tries = 0; tries < 3 && (!pair || pair[0] !== pair[1]); tries += 1) {
        await button.click()
        await page.waitForTimeout(100)
        pair = [await page.evaluate(() => navigator.clipboard.readText()), await shown()]
      }
      told(`${name}: what is copied`, pair[0] === pair[1] && pair[0].startsWith('## Run '), true)
    })
  }
}

/** A chart that is pointed at gets a cursor, and keeps it over an update. */
async function cursor(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const chart = page.locator('[data-chart]').first()
    await changes(page, calls, 'the number of calls')
    await chart.scrollIntoViewIfNeeded()
    await chart.hover()
    await chart.locator('canvas').waitFor()
    await changes(page, calls, 'the number of calls')
    told('charts drawn over an update', await chart.locator('canvas').count(), 1)
  })
}

/** Who asked for less motion gets none. */
async function motion(browser, urls, told) {
  const options = { motion: 'reduce' }
  const look = async (page) => {
    await changes(page, calls, 'the number of calls')
    told('animations when motion is reduced', await page.evaluate(() => document.getAnimations().length), 0)
  }
  await on(browser, urls.experiment, told, look, options)
}

/** The colours one chose stay, whatever the system has. */
async function colours(browser, urls, told) {
  await on(browser, urls.experiment, told, async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const button = page.getByRole('button', { name: /Colours/ })
    const light = await ground()
    for (let tries = 0; tries < 3 && (await ground()) === light; tries += 1) await button.click()
    const dark = await ground()
    told('colours change', dark !== light, true)
    await page.reload()
    told('and stay', await ground(), dark)
  })
}
