// Looks at every page of an armspan in Chromium. A plan comes on stdin; each check goes to stdout
// as a line of JSON: what was looked at, what was seen, what was expected.

import { Browser } from './browser.mjs'
import { looks, links } from './looks.mjs'
import { live } from './live.mjs'
import { weigh } from './weigh.mjs'

const EXPERIMENT = 'support-bot'

async function read() {
  let text = ''
  for await (const part of process.stdin) text += part
  return JSON.parse(text)
}

/** Tells what was seen; the program that started this one counts it. */
function check(what, seen, expected) {
  process.stdout.write(JSON.stringify({ what, seen, expected }) + '\n')
}

/** Every page by name, of a demo and of an armspan that has got nothing yet. */
async function pages(plan) {
  const answer = await fetch(`${plan.demo}/api/v1/runs?experiment=${EXPERIMENT}`)
  const { runs } = await answer.json()
  const busiest = (control) =>
    runs.filter((r) => r.run.control === control).sort((x, y) => y.traffic.calls - x.traffic.calls)[0].run.id
  const [a, b] = [busiest(true), busiest(false)]
  const paths = {
    home: '/',
    experiment: `/experiments/${EXPERIMENT}`,
    runs: '/runs',
    run: `/runs/${b}`,
    compare: `/compare/${a}/${b}`,
    sinks: '/sinks',
    pipeline: '/pipeline',
    config: '/config',
  }
  const found = Object.entries(paths).map(([name, path]) => ({ name, url: plan.demo + path }))
  return [...found, { name: 'waiting', url: `${plan.empty}/` }]
}

async function every(plan, browser, all) {
  const seen = new Set()
  for (const width of plan.widths) {
    for (const theme of plan.themes) {
      for (const page of all) await looks(browser, page, { width, theme, plan, check, seen })
    }
  }
  await links(seen, check)
}

const plan = await read()
const browser = await Browser.launch(plan)
try {
  const all = await pages(plan)
  await every(plan, browser, all)
  await weigh(browser, all[0].url, check)
  if (plan.live) await live(browser, plan, all, check)
} finally {
  await browser.close()
}
