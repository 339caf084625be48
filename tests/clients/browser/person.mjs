// The pages as a person uses them, in Chromium: with scripts and without, by keyboard, as somebody who may not see all.
// Run by tests/clients/pages.rs; the environment says where the server is.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Registry, fill } from "./fill.mjs";
import { launch, pictures, signIn, violations, visitor } from "./browsing.mjs";
import { everyPage } from "./tour.mjs";

const { PAKHUIS_URL: url, PAKHUIS_USER: user, PAKHUIS_PASSWORD: password, PAKHUIS_PICTURES: directory } = process.env;
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const browser = await launch();
const registry = new Registry(url, user, password);

async function step(name, run) {
  const began = Date.now();
  await run();
  console.log(`${name}: ${Date.now() - began} ms`);
}

const status = async (path) => (await registry.ask("GET", path).catch((error) => error)) instanceof Error ? "gone" : "there";

/** Each page: what axe says, what is asked of whom, what the browser complains of, and a picture. */
async function lookAtEveryPage() {
  const { page, complaints, requests, context } = await visitor(browser, url);
  await page.goto("/ui/login");
  const found = await violations(page);
  await pictures(page, directory, "login");
  await signIn(page, user, password);
  const pages = await everyPage(page);
  for (const [name, path] of Object.entries(pages)) {
    requests.length = 0;
    const answer = await page.goto(path);
    assert.equal(answer.status(), name === "absent" ? 404 : 200, path);
    assert.equal(answer.headers()["content-security-policy"], POLICY, path);
    assert.ok(requests.length <= 4, `${path}: ${requests.join(" ")}`);
    assert.ok(requests.every((request) => request.startsWith(`${url}/`)), `${path}: ${requests.join(" ")}`);
    assert.equal(await page.evaluate(() => window.owned), undefined, `${path} ran what was pushed`);
    const odd = await page.evaluate(() => document.querySelectorAll("main img, main script, main style, main iframe, [style], a[href^='javascript'], a[href^='data']").length);
    assert.equal(odd, 0, `${path} made elements of what was pushed`);
    found.push(...(await violations(page)));
    await pictures(page, directory, name);
  }
  assert.deepEqual(found, []);
  const known = complaints.filter((line) => !line.includes("/ui/r/team/nothing: Failed to load resource"));
  assert.deepEqual(known, []);
  console.log(`axe: 0 violations on ${Object.keys(pages).length + 1} pages in 2 themes at 2 widths`);
  await context.close();
}

/** What everybody does, in one go. */
async function aDay(scripts) {
  const { page, complaints, context } = await visitor(browser, url, { scripts });
  await page.goto("/team/web:1.10.0");
  assert.match(page.url(), /\/ui\/login\?next=/, "a pasted reference leads to its page, after signing in");
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The user name or the password is wrong.").waitFor();
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/ui/r/team/web:1.10.0");
  if (scripts) {
    await page.getByRole("button", { name: /^Copy docker pull .*web:1.10.0$/ }).first().click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^docker pull [^ ]+\/team\/web:1\.10\.0$/);
    assert.equal(await page.locator("#announce").textContent(), "Copied");
  } else {
    assert.equal(await page.locator("button.copy").count(), 0, "no button that does nothing");
  }

  await page.getByRole("link", { name: "Repositories" }).first().click();
  if (scripts) {
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  }
  await page.getByLabel("Find a repository or a tag").fill("1.11.0");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "team/web:1.11.0" }).click();
  for (const text of ["SLSA provenance", "for linux/arm64", "In this index"]) await page.getByText(text).first().waitFor();
  await page.getByRole("link", { name: "linux/arm64", exact: true }).click();
  await page.getByRole("heading", { name: /^Layers/ }).waitFor();

  await page.goto("/ui/r/team/web");
  await page.getByRole("link", { name: "Tag", exact: true }).click();
  const order = await page.locator("tbody th .tag a").allTextContents();
  assert.deepEqual(order.slice(0, 3), ["1.11.0", "1.10.0", "1.9.0"], "by version");
  await page.getByLabel("Choose 1.10.0").check();
  await page.getByLabel("Choose 1.9.0").check();
  await page.getByRole("button", { name: "Compare two" }).click();
  await page.getByText("A host that has A fetches").waitFor();
  await takeOffAndDelete(page, scripts);
  await deleteAll(page, scripts);
  await chooseColours(page);
  if (scripts) await filterWhileTyping(page);

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/ui/login");
  await page.goto("/ui/r/team/web");
  assert.match(page.url(), /\/ui\/login/, "signed out");
  assert.deepEqual(complaints.filter((line) => !/40[134]/.test(line)), []);
  await context.close();
}

/** Tags come off, an image goes with what it lists, and nothing else does. */
async function takeOffAndDelete(page, scripts) {
  const name = scripts ? "scratch/with" : "scratch/without";
  const kept = await registry.image(name, ["keep", "also"], {});
  await registry.image(name, ["old-1"], {});
  await registry.image(name, ["old-2"], {});
  const child = await registry.image(name, [], {});
  const index = await registry.manifest(name, ["index"], {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{ ...child, platform: { os: "linux", architecture: "amd64" } }],
  });
  await page.goto(`/ui/r/${name}?sort=tag`);
  for (const tag of ["old-1", "old-2", "also"]) await page.getByLabel(`Choose ${tag}`).check();
  await page.getByRole("button", { name: "Take tags off" }).click();
  await page.getByRole("heading", { name: "Take 3 tags off" }).waitFor();
  await page.getByText("still named").waitFor();
  assert.equal(await status(`/v2/${name}/manifests/old-1`), "there", "asking does nothing");
  await page.getByRole("button", { name: "Take them off" }).click();
  await page.getByText("3 tags taken off").waitFor();
  for (const [tag, expected] of [["old-1", "gone"], ["old-2", "gone"], ["also", "gone"], ["keep", "there"], [kept.digest, "there"]]) {
    assert.equal(await status(`/v2/${name}/manifests/${tag}`), expected, tag);
  }
  await page.getByRole("link", { name: "index", exact: true }).click();
  await page.getByRole("link", { name: "Delete the image" }).click();
  await page.getByText("Also delete 1 manifest that only it lists").waitFor();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByText("The image is deleted").waitFor();
  for (const [reference, expected] of [["index", "gone"], [index.digest, "gone"], [child.digest, "gone"], ["keep", "there"]]) {
    assert.equal(await status(`/v2/${name}/manifests/${reference}`), expected, reference);
  }
}

/** A repository goes whole after its name was typed, and only then. */
async function deleteAll(page, scripts) {
  const name = scripts ? "scratch/with" : "scratch/without";
  const beside = `${name}/beside`;
  await registry.image(beside, ["stays"], {});
  await page.goto(`/ui/r/${name}`);
  await page.getByRole("link", { name: "Delete the repository" }).click();
  await page.getByRole("heading", { name: `Delete all of ${name}?` }).waitFor();
  await page.getByLabel("To confirm, type the name").fill("something else");
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await page.getByText("The name was not the one asked for.").waitFor();
  assert.equal(await status(`/v2/${name}/manifests/keep`), "there");
  await page.getByLabel("To confirm, type the name").fill(name);
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await page.getByText("The repository is deleted").waitFor();
  for (const [path, expected] of [[`${name}/manifests/keep`, "gone"], [`${beside}/manifests/stays`, "there"]]) {
    assert.equal(await status(`/v2/${path}`), expected, path);
  }
  await page.goto("/ui/?q=scratch");
  const left = await page.locator("tbody th a").allTextContents();
  assert.ok(!left.includes(name) && left.includes(beside), left.join());
}

/** Light and dark, without scripts too, and the page is in the colours chosen from its first byte on. */
async function chooseColours(page) {
  await page.goto("/ui/r/team/web?sort=tag");
  const background = () => page.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
  const seen = {};
  for (const theme of ["dark", "light", "system"]) {
    await page.getByRole("button", { name: theme, exact: true }).click();
    await page.locator(`html[data-theme=${theme}]`).waitFor();
    assert.equal(new URL(page.url()).search, "?sort=tag", "back where it was chosen");
    seen[theme] = await background();
  }
  assert.notEqual(seen.dark, seen.light);
  assert.equal(seen.system, seen.light, "as the system of this visitor has it");
}

/** Rows that do not have the words leave while they are typed. */
async function filterWhileTyping(page) {
  await page.goto("/ui/r/ci/nightly?sort=tag");
  await page.getByLabel("Find a tag").pressSequentially("099");
  assert.equal(await page.locator("tbody tr:visible").count(), 10);
  assert.match(await page.locator("form.search output").textContent(), /^10 of 100 on this page/);
  await page.keyboard.press("Enter");
  await page.waitForURL("**q=099*");
  assert.equal(await page.locator("tbody tr:visible").count(), 11, "build-0099 and the hundred at the end");
  await page.goto("/ui/");
  await page.getByLabel("Find a repository or a tag").pressSequentially("web team");
  assert.deepEqual(await page.locator("tbody tr:visible th a").allTextContents(), ["team/web"]);
}

/** Who may read team/* only. */
async function aGuest() {
  const { page, context } = await visitor(browser, url);
  await signIn(page, "guest", password);
  await page.goto("/ui/");
  assert.deepEqual(await page.locator("tbody th a").allTextContents(), ["team/web", "team/worker"]);
  await page.goto("/ui/r/team/web:1.10.0");
  assert.equal(await page.locator("a[href*='/ui/-/'], button[formaction]").count(), 0, "no buttons");
  const text = await page.locator("main").textContent();
  assert.ok(!/ci\/nightly|lab\/mri|hello-world/.test(text), "where else a layer is");
  for (const path of ["/ui/r/ci/nightly", "/ui/r/lab", "/ui/status", "/ui/-/untag?repository=team/web&tag=1.9.0"]) {
    assert.ok([403, 404].includes((await page.goto(path)).status()), path);
  }
  await context.close();
}

/** What must be refused. */
async function refusals() {
  const { page, context } = await visitor(browser, url);
  await page.goto("/ui/login?next=//evil.example/");
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/ui/`);
  const token = await page.locator(".sign-out input[name=token]").inputValue();
  const form = { token, repository: "team/web", going: "1.9.0@sha256:" + "0".repeat(64) };
  const post = async (headers, fields = form) => (await context.request.post("/ui/-/untag", { form: fields, headers, maxRedirects: 0 })).status();
  assert.equal(await post({ origin: "https://evil.example" }), 403, "from another site");
  assert.equal(await post({ origin: "null" }), 403);
  assert.equal(await post({ origin: url, "sec-fetch-site": "cross-site" }), 403);
  assert.equal(await post({ origin: url }, { ...form, token: token.split("").reverse().join("") }), 403, "a forged token");
  assert.equal((await context.request.get("/v2/_catalog")).status(), 401, "the cookie is worth nothing under /v2");
  assert.equal((await context.request.get("/v2/team/web/manifests/1.9.0")).status(), 401);
  await context.close();
}

/** The own password: other sessions end, this one stays. */
async function ownPassword() {
  const [here, elsewhere] = [await visitor(browser, url), await visitor(browser, url)];
  await signIn(here.page, "guest", password);
  await signIn(elsewhere.page, "guest", password);
  await here.page.getByRole("link", { name: "guest" }).click();
  await here.page.getByLabel("Password until now").fill(password);
  await here.page.getByLabel("New password", { exact: true }).fill("another one");
  await here.page.getByLabel("New password again").fill("another one");
  await here.page.getByRole("button", { name: "Change it" }).click();
  await here.page.getByText("The password is changed.").waitFor();
  await here.page.goto("/ui/");
  assert.equal(new URL(here.page.url()).pathname, "/ui/");
  await elsewhere.page.goto("/ui/");
  assert.equal(new URL(elsewhere.page.url()).pathname, "/ui/login");
  await signIn(elsewhere.page, "guest", "another one");
  await here.context.close();
  await elsewhere.context.close();
}

/** By keyboard alone: the skip link first, and focus that can be seen. */
async function keyboard() {
  const { page, context } = await visitor(browser, url);
  await signIn(page, user, password);
  await page.goto("/ui/r/team/web");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  for (let press = 0; press < 12; press++) {
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200)));
  }
  await context.close();
}

try {
  mkdirSync(directory, { recursive: true });
  await step("filled", () => fill(registry));
  await step("a day with scripts", () => aDay(true));
  await step("a day without scripts", () => aDay(false));
  await step("a guest", aGuest);
  await step("refusals", refusals);
  await step("keyboard", keyboard);
  await step("own password", ownPassword);
  await step("every page", lookAtEveryPage);
} finally {
  await browser.close();
}
