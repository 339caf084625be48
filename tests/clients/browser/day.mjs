// What everybody does: sign in, find, read, copy, sort, page, compare, choose colours, sign out.
import assert from "node:assert/strict";
import { visitor } from "./browsing.mjs";

const names = (page) => page.locator("tbody tr:visible th a").allTextContents();

/** All of it in one go, by a visitor who has scripts or none. */
export async function aDay(browser, given, scripts) {
  const { page, complaints, context } = await visitor(browser, given.url, { scripts });
  await signInWhereAReferenceLeads(page, given);
  await takeACommand(page, given, scripts);
  await readAnImage(page);
  await search(page, scripts);
  await sortAndPage(page);
  await compare(page);
  await lookRound(page);
  await chooseColours(page);
  if (scripts) await withScriptsOnly(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/ui/login");
  await page.goto("/ui/r/team/web");
  assert.match(page.url(), /\/ui\/login/, "signed out");
  await page.goBack();
  assert.match(page.url(), /\/ui\/login/, "and what was on the screen is not there again");
  assert.deepEqual(complaints.filter((line) => !/40[134]/.test(line)), []);
  await context.close();
}

/** A reference pasted after the host leads to its page, after signing in, and a slip of the keys is no harm. */
async function signInWhereAReferenceLeads(page, { user, password }) {
  await page.goto("/team/web:1.10.0");
  assert.match(page.url(), /\/ui\/login\?next=/);
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The user name or the password is wrong.").waitFor();
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/ui/r/team/web:1.10.0");
}

/** The command for a client is on the page, copied by its button, and names what can be pulled from here. */
async function takeACommand(page, { registry }, scripts) {
  const shown = page.locator(".commands code").filter({ visible: true }).first();
  const command = await shown.textContent();
  assert.match(command, /^docker pull [^ ]+\/team\/web:1\.10\.0$/);
  assert.equal(command.split(" ")[2].split("/")[0], new URL(registry.url).host);
  assert.equal((await registry.ask("GET", "/v2/team/web/manifests/1.10.0")).status, 200);
  if (scripts) {
    await page.getByRole("button", { name: /^Copy docker pull .*web:1.10.0$/ }).first().click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
    assert.equal(await page.locator("#announce").textContent(), "Copied");
  } else {
    assert.equal(await page.locator("button.copy").count(), 0, "no button that does nothing");
  }
  await page.getByText("Apptainer", { exact: true }).click();
  await page.getByText(/^apptainer pull docker:\/\//).first().waitFor();
  if (scripts) {
    await page.reload();
    await page.getByText(/^apptainer pull docker:\/\//).first().waitFor();
  }
}

/** Where else a layer is, the Dockerfile, what was pushed, what the tag named before. */
async function readAnImage(page) {
  await page.getByText(/^in \d+ other tags$/).first().click();
  const other = page.locator(".uses[open] a").first();
  const text = await other.textContent();
  await other.click();
  await page.waitForURL(`**/ui/r/${text}`);
  await page.goto("/ui/r/team/web:1.10.0");
  await page.getByText("As a Dockerfile, approximately").click();
  await page.getByText(/^FROM scratch/).waitFor();
  await page.getByRole("link", { name: "Raw configuration" }).click();
  await page.getByText('"ExposedPorts"').waitFor();
  await page.goto("/ui/r/team/worker:latest");
  await page.locator("section[aria-labelledby=history] tbody tr").first().locator("a").first().click();
  await page.waitForURL("**/ui/r/team/worker@sha256:*");
}

async function search(page, scripts) {
  await page.getByRole("link", { name: "Repositories" }).first().click();
  await page.waitForURL("**/ui/");
  if (scripts) {
    await page.locator("form.search kbd").waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  }
  await page.getByLabel("Find a repository or a tag").fill("1.11.0");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "team/web:1.11.0" }).click();
  for (const text of ["SLSA provenance", "for linux/arm64", "In this index"]) await page.getByText(text).first().waitFor();
  await page.getByRole("link", { name: "linux/arm64", exact: true }).click();
  await page.getByRole("heading", { name: /^Layers/ }).waitFor();
  await page.goto("/ui/");
  await page.getByLabel("Find a repository or a tag").fill("web team");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL("**q=web**");
  assert.deepEqual(await names(page), ["team/web"]);
  await page.getByRole("link", { name: "Show all" }).click();
  await page.getByLabel("Find a repository or a tag").fill("no such thing");
  await page.keyboard.press("Enter");
  await page.getByText("No repository has all of").waitFor();
  await page.goto("/ui/r/ci/nightly");
  await page.getByLabel("Find a tag").fill("build 099");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL("**q=build**");
  assert.equal((await names(page)).length, 11, "build-0099 and the hundred at the end");
}

async function sortAndPage(page) {
  await page.goto("/ui/");
  await page.getByRole("link", { name: "Size", exact: true }).click();
  assert.equal((await names(page))[0], "hostile/app", "the largest first");
  await page.getByRole("link", { name: "Size", exact: true }).click();
  assert.notEqual((await names(page))[0], "hostile/app", "and the other way");
  await page.getByRole("link", { name: "lab/", exact: true }).click();
  assert.deepEqual((await names(page)).slice(0, 2), ["lab/models", "lab/mri/preprocessing"]);
  await page.goto("/ui/r/ci/nightly");
  await page.getByRole("link", { name: "Tag", exact: true }).click();
  assert.equal((await names(page))[0], "build-0999");
  await page.getByRole("link", { name: "Next", exact: true }).click();
  await page.getByText("101 – 200 of 1000").waitFor();
  assert.equal((await names(page))[0], "build-0899", "the order is kept");
  await page.getByRole("link", { name: "Last", exact: true }).click();
  assert.equal((await names(page)).at(-1), "build-0000");
  await page.getByRole("link", { name: "Previous", exact: true }).click();
  await page.getByRole("link", { name: "First", exact: true }).click();
  assert.equal((await names(page))[0], "build-0999");
}

async function compare(page) {
  await page.goto("/ui/r/team/web");
  await page.getByRole("link", { name: "Tag", exact: true }).click();
  assert.deepEqual((await names(page)).slice(0, 3), ["1.11.0", "1.10.0", "1.9.0"], "by version");
  await page.getByRole("link", { name: "Show it" }).click();
  await page.getByRole("link", { name: /^sha256-.*sig$/ }).waitFor();
  await page.getByLabel("Choose 1.10.0").check();
  await page.getByLabel("Choose 1.9.0").check();
  await page.getByRole("button", { name: "Compare two" }).click();
  await page.getByText("A host that has A fetches").waitFor();
  const sides = await names(page);
  await page.getByRole("link", { name: "The other way round" }).click();
  await page.waitForURL("**/ui/compare?**");
  assert.deepEqual(await names(page), sides);
  assert.deepEqual((await page.locator(".sides td a").allTextContents()).toSorted(), ["team/web:1.10.0", "team/web:1.9.0"]);
  await page.goto("/ui/r/team/web:1.10.0");
  await page.getByLabel("Compare with").selectOption("1.11.0");
  await page.getByRole("button", { name: "Compare", exact: true }).click();
  await page.getByText("A host that has A fetches").waitFor();
}

/** The pages beside the images. */
async function lookRound(page) {
  await page.getByRole("link", { name: "Storage", exact: true }).click();
  await page.getByRole("link", { name: "lab/models" }).click();
  await page.waitForURL("**/ui/r/lab/models");
  await page.getByRole("link", { name: "Activity", exact: true }).click();
  await page.getByLabel("Repository").fill("lab");
  await page.getByLabel("What").selectOption("push");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL("**repository=lab**");
  const where = await page.locator("td[data-label=Where]").allTextContents();
  assert.ok(where.length > 1 && where.every((one) => one.startsWith("lab/")), where.join());
  await page.getByRole("link", { name: "Status", exact: true }).click();
  await page.getByText("Running for").waitFor();
  await page.getByRole("link", { name: "Help", exact: true }).click();
  await page.getByText(`docker login ${new URL(page.url()).host}`).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "download ca.crt" }).click()]);
  assert.equal(file.suggestedFilename(), "ca.crt");
}

/** Light and dark, without scripts too, and the page is in the colours chosen from its first byte on. */
async function chooseColours(page) {
  await page.goto("/ui/r/team/web?sort=tag");
  const background = () => page.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
  const found = {};
  for (const theme of ["dark", "light", "system"]) {
    await page.getByRole("button", { name: theme, exact: true }).click();
    await page.locator(`html[data-theme=${theme}]`).waitFor();
    assert.equal(new URL(page.url()).search, "?sort=tag", "back where it was chosen");
    found[theme] = await background();
  }
  assert.notEqual(found.dark, found.light);
  assert.equal(found.system, found.light, "as the system of this visitor has it");
}

/** What is out of sight is not chosen, whatever was clicked, and what was chosen is not when it leaves. */
async function chooseAmongFiltered(page) {
  const chosen = (count) => page.getByText(`${count} chosen`, { exact: true }).waitFor();
  const checked = () => page.locator(".choose td input:checked").count();
  await page.goto("/ui/r/ci/nightly?sort=tag");
  const field = page.getByLabel("Find a tag");
  await field.fill("099");
  await page.getByLabel("Choose all on this page").check();
  await chosen(10);
  await field.fill("");
  assert.equal(await checked(), 10, "of the hundred");
  await field.fill("0999");
  await chosen(1);
  await field.fill("5");
  assert.equal(await checked(), 0);
  await page.getByLabel("Choose build-0995").click();
  await page.getByLabel("Choose build-0975").click({ modifiers: ["Shift"] });
  await chosen(3);
  await field.fill("");
  assert.equal(await checked(), 3, "build-0995, 0985 and 0975");
}

/** Rows that do not have the words leave while they are typed; the key to the search on every page; many rows at once. */
async function withScriptsOnly(page) {
  await page.goto("/ui/r/ci/nightly?sort=tag");
  await page.getByLabel("Find a tag").pressSequentially("099");
  assert.equal((await names(page)).length, 10);
  assert.match(await page.locator("form.search output").textContent(), /^10 of 100 on this page/);
  await page.keyboard.press("Enter");
  await page.waitForURL("**q=099*");
  await page.goto("/ui/r/ci/nightly?sort=tag");
  await page.getByLabel("Choose build-0998").click();
  await page.getByLabel("Choose build-0990").click({ modifiers: ["Shift"] });
  await page.getByText("9 chosen").waitFor();
  const actions = await page.getByRole("button", { name: "Take tags off" }).boundingBox();
  assert.ok(actions.y + actions.height <= page.viewportSize().height, "what can be done with them is in sight");
  await page.getByLabel("Choose all on this page").check();
  await page.getByText("100 chosen").waitFor();
  await chooseAmongFiltered(page);
  await page.goto("/ui/r/team/web:1.10.0");
  await page.keyboard.press("/");
  await page.waitForURL("**/ui/#q");
  await page.waitForFunction(() => document.activeElement.id === "q");
}
