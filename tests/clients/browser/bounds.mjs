// What somebody may not: see what is not theirs, send forms from elsewhere, go on with an old password. And the keyboard.
import assert from "node:assert/strict";
import { signIn, visitor } from "./browsing.mjs";

/** Who may read team/* only. */
export async function aGuest(browser, { url, password }, scripts) {
  const { page, context } = await visitor(browser, url, { scripts });
  await signIn(page, "guest", password);
  await page.goto("/ui/");
  assert.deepEqual(await page.locator("tbody th a").allTextContents(), ["team/web", "team/worker"]);
  await page.goto("/ui/?q=latest");
  assert.deepEqual(await page.locator(".found a").allTextContents(), ["team/worker:latest"]);
  await page.goto("/ui/r/team/web:1.10.0");
  assert.equal(await page.locator("a[href*='/ui/-/'], button[formaction]").count(), 0, "no buttons");
  for (const path of ["/ui/r/team/web:1.10.0", "/ui/storage", "/ui/activity", "/ui/r/team"]) {
    await page.goto(path);
    const text = await page.locator("main").textContent();
    assert.ok(!/ci\/nightly|lab\/|hello-world|hostile|charts/.test(text), path);
  }
  for (const path of ["/ui/r/ci/nightly", "/ui/r/lab", "/ui/status", "/ui/-/untag?repository=team/web&tag=1.9.0"]) {
    assert.ok([403, 404].includes((await page.goto(path)).status()), path);
  }
  await context.close();
}

/** What must be refused. */
export async function refusals(browser, { url, user, password }) {
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
  await fromAnotherSite(page, url, token);
  await context.close();
}

/** A page of another site, in the same browser, sends the form of ours: the browser says where it comes from. */
async function fromAnotherSite(page, url, token) {
  await page.route("https://evil.example/", (route) =>
    route.fulfill({ contentType: "text/html", body: `<form method="post" action="${url}/ui/logout"><input name="token" value="${token}"><button>Win a prize</button></form>` }),
  );
  await page.goto("https://evil.example/");
  await page.getByRole("button", { name: "Win a prize" }).click();
  await page.waitForURL(`${url}/ui/**`);
  await page.goto("/ui/");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** The own password: other sessions end, this one stays. With scripts it becomes another, without them the first again. */
export async function ownPassword(browser, { url, password: first }, scripts) {
  const [old, next] = scripts ? [first, "another one"] : ["another one", first];
  const [here, elsewhere] = [await visitor(browser, url, { scripts }), await visitor(browser, url, { scripts })];
  await signIn(here.page, "guest", old);
  await signIn(elsewhere.page, "guest", old);
  await here.page.getByRole("link", { name: "guest" }).click();
  const ask = async (current, again) => {
    await here.page.getByLabel("Current password").fill(current);
    await here.page.getByLabel("New password", { exact: true }).fill(next);
    await here.page.getByLabel("New password again").fill(again);
    await here.page.getByRole("button", { name: "Change it" }).click();
  };
  await ask("not this", next);
  await here.page.getByText("The current password is wrong.").waitFor();
  await ask(old, `${next}!`);
  await here.page.getByText("The new password was not the same twice.").waitFor();
  await ask(old, next);
  await here.page.getByText("The password is changed.").waitFor();
  await here.page.goto("/ui/");
  assert.equal(new URL(here.page.url()).pathname, "/ui/");
  await elsewhere.page.goto("/ui/");
  assert.equal(new URL(elsewhere.page.url()).pathname, "/ui/login");
  await signIn(elsewhere.page, "guest", next);
  await here.context.close();
  await elsewhere.context.close();
}

/** By keyboard alone: the skip link first, and focus that can be seen. */
export async function keyboard(browser, { url, user, password }) {
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
