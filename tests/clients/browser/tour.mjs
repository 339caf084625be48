// Every page and every state of one that there is, for axe and for those who look at all of them.
import assert from "node:assert/strict";
import { look, signIn, visitor } from "./browsing.mjs";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Pages looked at so far, and what axe found on them. */
export const seen = { pages: 0, found: [] };

async function lookAt(page, directory, name) {
  seen.pages += 1;
  seen.found.push(...(await look(page, directory, name)));
}

/** Names and addresses of what there is once a registry is filled; what is not known before is read on the way. */
async function everyPage(page) {
  const digest = async (reference) => {
    await page.goto(`/ui/r/${reference}`);
    return (await page.locator("dd.mono code").first().textContent()).trim();
  };
  const hello = await digest("hello-world:latest");
  const index = await digest("team/web:1.11.0");
  const amd64 = await page.locator("section[aria-labelledby=contents] tbody tr:first-child td:last-child a").getAttribute("href");
  return {
    catalogue: "/ui/",
    search: "/ui/?q=1.11",
    nothing: "/ui/?q=no-such-thing",
    namespace: "/ui/r/lab",
    repository: "/ui/r/team/web",
    untagged: "/ui/r/lab/untagged",
    thousand: "/ui/r/ci/nightly?page=3&sort=tag",
    image: "/ui/r/team/web:1.9.0",
    moved: "/ui/r/team/worker:latest",
    index: "/ui/r/team/web:1.11.0",
    platform: "/ui/r/team/web:1.11.0?platform=linux/arm64",
    child: amd64,
    digest: `/ui/r/hello-world@${hello}`,
    chart: "/ui/r/charts/web:1.2.0_build.7",
    artifact: "/ui/r/lab/models:weights",
    signature: `/ui/r/team/web:${index.replace(":", "-")}.sig`,
    manifest: "/ui/r/team/web:1.10.0?show=manifest",
    config: "/ui/r/team/web:1.10.0?show=config",
    compare: "/ui/compare?a=team/web:1.9.0&b=team/web:1.11.0",
    same: "/ui/compare?a=team/web:1.9.0&b=team/web:1.9.0",
    storage: "/ui/storage",
    activity: "/ui/activity",
    failures: "/ui/activity?action=sign-in-failed",
    status: "/ui/status",
    account: "/ui/account",
    help: "/ui/help",
    untag: "/ui/-/untag?repository=team/web&tag=1.9.0&tag=1.11.0",
    "untag-many": "/ui/-/untag?repository=ci/nightly" + Array.from({ length: 30 }, (_, number) => `&tag=build-${String(number).padStart(4, "0")}`).join(""),
    delete: `/ui/-/delete?repository=team/web&digest=${index}`,
    "delete-listed": `/ui/-/delete?repository=team/web&digest=${amd64.split("@")[1]}`,
    "delete-repository": "/ui/-/delete-repository?repository=team/web",
    absent: "/ui/r/team/nothing",
    "no-tags": "/ui/-/untag?repository=team/web",
    "two-images": "/ui/compare?repository=team/web&tag=1.9.0",
    hostile: "/ui/r/hostile/app",
    "hostile-image": "/ui/r/hostile/app:v1",
    "hostile-huge": "/ui/r/hostile/app:huge",
    "hostile-index": "/ui/r/hostile/app:index",
    "hostile-artifact": "/ui/r/hostile/app:artifact",
    "hostile-config": "/ui/r/hostile/app:v1?show=config",
  };
}

const REFUSED = { absent: 404, "no-tags": 422, "two-images": 422 };

/** Each page: what axe says, what is asked of whom, what the browser complains of, and a picture. */
export async function lookAtEveryPage(browser, { url, user, password, directory }) {
  const { page, complaints, requests, context } = await visitor(browser, url);
  await signIn(page, user, password);
  for (const [name, path] of Object.entries(await everyPage(page))) {
    requests.length = 0;
    const answer = await page.goto(path);
    assert.equal(answer.status(), REFUSED[name] ?? 200, path);
    assert.equal(answer.headers()["content-security-policy"], POLICY, path);
    assert.ok(requests.length <= 4, `${path}: ${requests.join(" ")}`);
    assert.ok(requests.every((request) => request.startsWith(`${url}/`)), `${path}: ${requests.join(" ")}`);
    assert.equal(await page.evaluate(() => window.owned), undefined, `${path} ran what was pushed`);
    const odd = await page.evaluate(() => document.querySelectorAll("main img, main script, main style, main iframe, [style], a[href^='javascript'], a[href^='data']").length);
    assert.equal(odd, 0, `${path} made elements of what was pushed`);
    await lookAt(page, directory, name);
  }
  assert.deepEqual(complaints.filter((line) => !/status of 4(04|22)/.test(line)), []);
  // Nothing complained of means something only if something would have been heard.
  await page.evaluate(() => console.error("control"));
  assert.match(complaints.at(-1), /control/);
  await context.close();
}

/** A registry with nothing in it, for who may do everything and for who may see a part of it. */
export async function lookAtNothing(browser, { url, user, password, directory }) {
  const { page, context } = await visitor(browser, url);
  await page.goto("/ui/login");
  await lookAt(page, directory, "login");
  await signIn(page, user, password);
  for (const [name, path] of [["empty", "/ui/"], ["empty-storage", "/ui/storage"], ["empty-activity", "/ui/activity?repository=none"]]) {
    await page.goto(path);
    await lookAt(page, directory, name);
  }
  await page.goto("/ui/");
  await page.getByText("docker push").first().waitFor();
  await context.close();
  const guest = await visitor(browser, url);
  await signIn(guest.page, "guest", password);
  await guest.page.goto("/ui/");
  await lookAt(guest.page, directory, "empty-guest");
  await guest.context.close();
}

/** What forms are answered with, and what somebody sees who may see a part. */
export async function lookAtAnswers(browser, { url, user, password, directory }) {
  const { page, context } = await visitor(browser, url);
  const fill = async (fields) => {
    for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
  };
  const press = (name) => page.getByRole("button", { name }).click();
  await page.goto("/ui/login");
  await fill({ "User name": "guest", Password: "wrong" });
  await press("Sign in");
  await page.getByRole("alert").waitFor();
  await lookAt(page, directory, "login-failed");
  await signIn(page, "guest", password);
  for (const [name, path, status] of [["guest", "/ui/", 200], ["guest-repository", "/ui/r/team/web", 200], ["guest-image", "/ui/r/team/web:1.9.0", 200], ["guest-storage", "/ui/storage", 200], ["guest-activity", "/ui/activity", 200], ["denied", "/ui/status", 403], ["not-yours", "/ui/-/untag?repository=team/web&tag=1.9.0", 403]]) {
    assert.equal((await page.goto(path)).status(), status, path);
    await lookAt(page, directory, name);
  }
  await page.goto("/ui/account");
  await fill({ "Current password": "wrong", "New password": "n", "New password again": "n" });
  await press("Change it");
  await page.getByText("The current password is wrong.").waitFor();
  await lookAt(page, directory, "account-refused");
  await fill({ "Current password": password, "New password": password, "New password again": password });
  await press("Change it");
  await page.getByText("The password is changed.").waitFor();
  await lookAt(page, directory, "account-changed");
  await context.close();
  await lookAtQuestionsAgain(await visitor(browser, url), { user, password, directory });
}

/** A name that was not the one asked for; rows that are chosen; what was done. */
async function lookAtQuestionsAgain({ page, context }, { user, password, directory }) {
  await signIn(page, user, password);
  await page.goto("/ui/-/delete-repository?repository=team/web");
  await page.getByLabel("type the name of the repository").fill("something else");
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await page.getByRole("alert").waitFor();
  await lookAt(page, directory, "delete-again");
  await page.goto("/ui/r/scratch/looked-at");
  await page.getByLabel("Choose one").check();
  await lookAt(page, directory, "chosen");
  await page.getByRole("button", { name: "Take tags off" }).click();
  await page.getByRole("button", { name: "Take it off" }).click();
  await page.getByRole("status").filter({ hasText: "taken off" }).waitFor();
  await lookAt(page, directory, "done");
  await context.close();
}
