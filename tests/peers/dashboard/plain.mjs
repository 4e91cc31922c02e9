// With scripts switched off everything can still be read and reached.

import { on } from './live.mjs'

const OFF = { scripts: false }

async function read(browser, urls, told) {
  const look = async (page) => {
    const rows = await page.locator('main table').first().locator('tbody tr').count()
    told('without scripts: a row an arm', rows >= 3, true)
    told('without scripts: charts', (await page.locator('main svg[role]').count()) > 3, true)
    told('without scripts: no dead buttons', await page.locator('button:visible').count(), 0)
    await page.locator('main [aria-expanded]').nth(1).click()
    await page.waitForURL(/open=/)
    told('without scripts: an arm opens', await page.locator('main [aria-expanded="true"]').count(), 1)
    await page.locator('main nav[aria-label="Window"] a', { hasText: '24 h' }).click()
    await page.waitForURL(/window=24h/)
  }
  await on(browser, urls.experiment, told, look, OFF)
}

/** Two runs are chosen and compared by a plain form. */
async function choose(browser, urls, told) {
  const look = async (page) => {
    await page.selectOption('select[name="arm"]', 'B')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.waitForURL(/arm=B/)
    const arms = await page.locator('main tbody tr td:nth-of-type(4)').allInnerTexts()
    told('without scripts: a filter', [...new Set(arms)], ['B'])
    await page.getByRole('link', { name: 'Show all' }).click()
    await page.locator('input[name="a"]').first().check()
    await page.locator('input[name="b"]').nth(1).check()
    await page.getByRole('button', { name: 'Compare' }).click()
    await page.waitForURL(/\/compare\/[0-9a-f]+\/[0-9a-f]+$/)
    const link = page.getByRole('link', { name: 'As Markdown' })
    const text = await page.request.get(new URL(await link.getAttribute('href'), page.url()).href)
    told('without scripts: the Markdown', (await text.text()).startsWith('## Run '), true)
  }
  await on(browser, urls.runs, told, look, OFF)
}

export const plain = { read, choose }
