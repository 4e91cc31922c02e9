// A Chromium whose pages are watched: whatever they complain about, whatever they refuse, and
// every request that would leave the server they came from.

import { createRequire } from 'node:module'

const HEIGHTS = { 390: 844, 1440: 900 }

export class Browser {
  static async launch(plan) {
    const require = createRequire(`${plan.modules}/`)
    const { chromium } = require('playwright-core')
    const flags = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
    const self = new Browser()
    self.chromium = await chromium.launch({ executablePath: plan.chromium, args: flags })
    self.axe = require('axe-core').source
    return self
  }

  /** A page of its own, with nothing kept from another, and the list of its troubles. */
  async open(url, { width = 1440, theme = 'light', scripts = true, motion = 'no-preference' } = {}) {
    const context = await this.chromium.newContext({
      viewport: { width, height: HEIGHTS[width] ?? 900 },
      colorScheme: theme,
      reducedMotion: motion,
      javaScriptEnabled: scripts,
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    const trouble = []
    const home = new URL(url).origin
    await context.route('**/*', (route) => {
      const to = new URL(route.request().url())
      if (to.origin === home) return route.continue()
      trouble.push(`request to ${to.origin}`)
      return route.abort()
    })
    if (scripts) await watchPolicy(context, trouble)
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    watch(page, trouble)
    // An empty error answer makes this fail; a page that cannot be shown is a trouble like others.
    await page.goto(url, { waitUntil: 'load' }).catch((error) => trouble.push(error.message.split('\n')[0]))
    return { page, trouble, close: () => context.close() }
  }

  close() {
    return this.chromium.close()
  }
}

/** Violations of the content security policy, which a page may otherwise keep to itself. */
async function watchPolicy(context, trouble) {
  await context.exposeBinding('__violated', (_, text) => trouble.push(text))
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.__violated(`policy: ${event.violatedDirective} of ${event.blockedURI || 'inline'}`)
    })
  })
}

function watch(page, trouble) {
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) trouble.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => trouble.push(`error: ${error.message}`))
  page.on('response', (answer) => {
    if (answer.status() >= 400) trouble.push(`${answer.status()} for ${new URL(answer.url()).pathname}`)
  })
}
