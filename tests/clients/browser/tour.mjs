// Every page that there is, by address, for those who look at all of them.

/** Names and addresses; what is not known before is read from pages on the way. */
export async function everyPage(page) {
  const digest = async (reference) => {
    await page.goto(`/ui/r/${reference}`);
    return (await page.locator("dd.mono code").first().textContent()).trim();
  };
  const hello = await digest("hello-world:latest");
  const index = await digest("team/web:1.11.0");
  return {
    catalogue: "/ui/",
    search: "/ui/?q=1.11",
    nothing: "/ui/?q=no-such-thing",
    namespace: "/ui/r/lab",
    repository: "/ui/r/team/web",
    thousand: "/ui/r/ci/nightly?page=3&sort=tag",
    image: "/ui/r/team/web:1.10.0",
    index: "/ui/r/team/web:1.11.0",
    platform: "/ui/r/team/web:1.11.0?platform=linux/arm64",
    digest: `/ui/r/hello-world@${hello}`,
    chart: "/ui/r/charts/web:1.2.0_build.7",
    artifact: "/ui/r/lab/models:weights",
    signature: `/ui/r/team/web:${index.replace(":", "-")}.sig`,
    manifest: "/ui/r/team/web:1.10.0?show=manifest",
    config: "/ui/r/team/web:1.10.0?show=config",
    compare: "/ui/compare?a=team/web:1.9.0&b=team/web:1.10.0",
    storage: "/ui/storage",
    activity: "/ui/activity",
    status: "/ui/status",
    account: "/ui/account",
    help: "/ui/help",
    untag: "/ui/-/untag?repository=team/web&tag=1.9.0&tag=1.11.0",
    delete: `/ui/-/delete?repository=team/web&digest=${index}`,
    "delete-repository": "/ui/-/delete-repository?repository=team/web",
    absent: "/ui/r/team/nothing",
    hostile: "/ui/r/hostile/app",
    "hostile-image": "/ui/r/hostile/app:v1",
    "hostile-huge": "/ui/r/hostile/app:huge",
    "hostile-index": "/ui/r/hostile/app:index",
    "hostile-artifact": "/ui/r/hostile/app:artifact",
    "hostile-config": "/ui/r/hostile/app:v1?show=config",
  };
}
