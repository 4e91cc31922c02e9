// What must hold of every page whatever it is about: it complains of nothing, is accessible by
// axe's rules, does not overflow, and its links lead somewhere. Takes a picture of each.

/** Impacts that fail; axe reports lesser ones too. */
const GRAVE = ['serious', 'critical']
/** Links asked for at once. */
const TOGETHER = 4

export async function looks(browser, { name, url }, { width, theme, plan, check, seen }) {
  const of = `${plan.scenario} ${name} ${width} ${theme}`
  const { page, trouble, close } = await browser.open(url, { width, theme })
  try {
    await page.screenshot({ path: `${plan.shots}/${plan.scenario}-${name}-${width}-${theme}.png`, fullPage: true })
    check(`${of}: complaints`, trouble, [])
    check(`${of}: accessible`, await findings(page, browser.axe), [])
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    check(`${of}: pixels beyond the screen`, Math.max(over, 0), 0)
    check(`${of}: jumps in headings`, await jumps(page), [])
    check(`${of}: dark`, await isDark(page), theme === 'dark')
    for (const link of await hrefs(page)) seen.add(link)
  } finally {
    await close()
  }
}

async function findings(page, axe) {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  return violations
    .filter((found) => GRAVE.includes(found.impact))
    .map((found) => `${found.id}: ${found.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' ')}`)
}

/** Headings that are more than one level below the one before. */
function jumps(page) {
  return page.evaluate(() => {
    const shown = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((h) => h.checkVisibility())
    const levels = shown.map((h) => Number(h.tagName[1]))
    return shown.filter((_, at) => levels[at] > (levels[at - 1] ?? 0) + 1).map((h) => h.textContent)
  })
}

/** Whether the page is drawn on a dark ground. */
function isDark(page) {
  return page.evaluate(() => {
    const parts = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number)
    return parts.slice(0, 3).reduce((sum, part) => sum + part, 0) < 3 * 128
  })
}

function hrefs(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll('a[href]')]
      .map((link) => new URL(link.getAttribute('href'), location.href))
      .filter((to) => to.origin === location.origin)
      .map((to) => to.origin + to.pathname + to.search),
  )
}

/** Every address that a page links to answers with 200. */
export async function links(seen, check) {
  const rest = [...seen].sort()
  const broken = []
  const ask = async () => {
    for (let link = rest.pop(); link; link = rest.pop()) {
      const answer = await fetch(link, { headers: { accept: 'text/html' } })
      await answer.arrayBuffer()
      if (answer.status !== 200) broken.push(`${answer.status} ${new URL(link).pathname}`)
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, ask))
  check(`broken ones of ${seen.size} links`, broken.sort(), [])
}
