// Taking tags off, deleting an image and a whole repository: what goes goes, and nothing else does.
import assert from "node:assert/strict";
import { signIn, visitor } from "./browsing.mjs";

/** All of it, in a repository of its own. */
export async function removing(browser, { url, user, password, registry }, scripts) {
  const { page, complaints, context } = await visitor(browser, url, { scripts });
  const name = scripts ? "scratch/with" : "scratch/without";
  await signIn(page, user, password);
  await takeOffAndDelete(page, registry, name);
  await manyAtOnce(page, registry, `${name}/many`);
  await somebodyElseWasFaster(page, registry, `${name}/many`);
  await deleteAll(page, registry, name);
  assert.deepEqual(complaints.filter((line) => !/40[34]/.test(line)), []);
  await context.close();
}

const status = async (registry, path) => ((await registry.ask("GET", path).catch((error) => error)) instanceof Error ? "gone" : "there");

async function expect(registry, name, expected) {
  for (const [reference, state] of Object.entries(expected)) assert.equal(await status(registry, `/v2/${name}/manifests/${reference}`), state, reference);
}

async function takeOffAndDelete(page, registry, name) {
  const kept = await registry.image(name, ["keep", "also"], {});
  for (const tag of ["old-1", "old-2", "single"]) await registry.image(name, [tag], {});
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
  await expect(registry, name, { "old-1": "there" });
  await page.getByRole("link", { name: "Leave everything as it is" }).click();
  await page.waitForURL(`**/ui/r/${name}`);
  await expect(registry, name, { "old-1": "there" });
  await page.goto(`/ui/-/untag?repository=${name}&tag=old-1&tag=old-2&tag=also`);
  await page.getByRole("button", { name: "Take them off" }).click();
  await page.getByText("3 tags taken off").waitFor();
  await expect(registry, name, { "old-1": "gone", "old-2": "gone", also: "gone", keep: "there", [kept.digest]: "there" });
  // One, from its own page; then back to it.
  await page.getByRole("link", { name: "single", exact: true }).click();
  await page.getByRole("link", { name: "Take this tag off" }).click();
  await page.getByRole("button", { name: "Take it off" }).click();
  await page.getByText("1 tag taken off").waitFor();
  await expect(registry, name, { single: "gone" });
  await page.getByRole("link", { name: "index", exact: true }).click();
  await page.getByRole("link", { name: "Delete the image" }).click();
  await page.getByText("Also delete 1 manifest that only it lists").waitFor();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByText("The image is deleted").waitFor();
  await expect(registry, name, { index: "gone", [index.digest]: "gone", [child.digest]: "gone", keep: "there" });
  await page.goBack();
  await page.getByText("Not found").first().waitFor();
}

/** More than 20 want the name typed. */
async function manyAtOnce(page, registry, name) {
  const tags = Array.from({ length: 25 }, (_, number) => `t${number}`);
  await registry.image(name, [...tags.slice(0, 9), "stays"], {});
  await registry.image(name, tags.slice(9, 19), {});
  await registry.image(name, tags.slice(19), {});
  await page.goto(`/ui/-/untag?repository=${name}${tags.map((tag) => `&tag=${tag}`).join("")}`);
  const typed = page.getByLabel("type the name of the repository");
  await typed.fill("something else");
  await page.getByRole("button", { name: "Take them off" }).click();
  await page.getByText("The name was not the one asked for.").waitFor();
  await expect(registry, name, { t0: "there" });
  await typed.fill(name);
  await page.getByRole("button", { name: "Take them off" }).click();
  await page.getByText("25 tags taken off").waitFor();
  await expect(registry, name, { t0: "gone", t24: "gone", stays: "there" });
}

/** A tag that was moved between the question and the answer stays where it is. */
async function somebodyElseWasFaster(page, registry, name) {
  await page.goto(`/ui/-/untag?repository=${name}&tag=stays`);
  await registry.image(name, ["stays"], {});
  await page.getByRole("button", { name: "Take it off" }).click();
  await page.getByText("Nothing was done").waitFor();
  await expect(registry, name, { stays: "there" });
}

/** A repository goes whole after its name was typed, and only then. */
async function deleteAll(page, registry, name) {
  const beside = `${name}/many`;
  await page.goto(`/ui/r/${name}`);
  await page.getByRole("link", { name: "Delete the repository" }).click();
  await page.getByRole("heading", { name: `Delete all of ${name}?` }).waitFor();
  await page.getByLabel("type the name of the repository").fill("something else");
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await page.getByText("The name was not the one asked for.").waitFor();
  await expect(registry, name, { keep: "there" });
  await page.getByLabel("type the name of the repository").fill(name);
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await page.getByText("The repository is deleted").waitFor();
  await expect(registry, name, { keep: "gone" });
  await expect(registry, beside, { stays: "there" });
  await page.goto("/ui/?q=scratch");
  const left = await page.locator("tbody th a").allTextContents();
  assert.ok(!left.includes(name) && left.includes(beside), left.join());
}
