// Headless Chromium as a person has it: themes, widths, with and without scripts; everything it complains of is kept.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export const WIDTHS = { wide: { width: 1280, height: 900 }, narrow: { width: 375, height: 812 } };

/** Most of a page that a picture shows. */
const TALLEST = 2400;

/** A running browser. */
export async function launch() {
  // Chromium refuses its sandbox to root, whom containers run as.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
  return chromium.launch({ executablePath: process.env.PAKHUIS_CHROMIUM ?? "/usr/bin/chromium", args });
}

/** A visitor with cookies of its own. `complaints` has every error of the console, of scripts and of the policy. */
export async function visitor(browser, url, { scripts = true, theme = "light", width = "wide" } = {}) {
  const context = await browser.newContext({
    baseURL: url,
    ignoreHTTPSErrors: true,
    javaScriptEnabled: scripts,
    colorScheme: theme,
    viewport: WIDTHS[width],
    permissions: scripts ? ["clipboard-read", "clipboard-write"] : [],
  });
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  page.on("console", (line) => ["error", "warning"].includes(line.type()) && complaints.push(`${page.url()}: ${line.text()}`));
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
  page.on("request", (request) => requests.push(request.url()));
  page.on("dialog", (dialog) => complaints.push(`${page.url()}: a dialog`) && dialog.dismiss());
  return { context, page, complaints, requests };
}

export async function signIn(page, user, password) {
  await page.goto("/ui/login");
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((address) => !address.pathname.startsWith("/ui/login"));
}

/**
 * What axe finds wrong on the page that is open, in both themes and at both widths, with a picture of each in
 * `directory`: the page is not loaded again, so what a form was answered with is looked at as well.
 */
export async function look(page, directory, name) {
  const found = [];
  // Evaluated by the debugger, so the page's policy stays as it is.
  await page.evaluate(axeSource);
  for (const theme of ["light", "dark"]) {
    for (const width of Object.keys(WIDTHS)) {
      await page.emulateMedia({ colorScheme: theme });
      await page.setViewportSize(WIDTHS[width]);
      const result = await page.evaluate((runOnly) => window.axe.run(document, { runOnly, resultTypes: ["violations"] }), RULES);
      for (const one of result.violations) {
        found.push(`${name} ${page.url()} ${theme} ${width}: ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
      }
      const [height, overflow] = await page.evaluate(() => [document.documentElement.scrollHeight, document.documentElement.scrollWidth - window.innerWidth]);
      if (overflow > 0) found.push(`${name} ${page.url()} ${theme} ${width}: the page is ${overflow} px too wide`);
      const clip = { x: 0, y: 0, width: WIDTHS[width].width, height: Math.min(height, TALLEST) };
      await page.screenshot({ path: `${directory}/${name}-${theme}-${width}.png`, fullPage: true, clip });
    }
  }
  return found;
}
