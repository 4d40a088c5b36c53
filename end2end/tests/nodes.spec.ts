// Starting, stopping, killing and restarting nodes from the page.
import { leaderOf } from '../fixtures/admin.ts';
import { expect, test } from '../fixtures/test.ts';

test('"Start the cluster": within 3 s three running nodes, one leader', async ({ cluster, dashboard }) => {
  await dashboard.open();
  await expect(dashboard.headline).toHaveText(/^Three nodes, none of them running/);
  for (const id of cluster.ids) await dashboard.expectStanding(id, 'stopped');

  const began = performance.now();
  await dashboard.startCluster();
  await dashboard.expectWithin(3_000, { leaderAmong: cluster.ids, following: 2 });
  expect(performance.now() - began, 'milliseconds from the click to the picture').toBeLessThanOrEqual(3_000);

  const leader = await leaderOf(cluster.ports.nodes);
  await dashboard.expectStanding(leader.id, 'leader');
  await expect(dashboard.headline).toHaveText(new RegExp(`^${leader.id} leads term ${leader.term}\\s·\\s3 of 3 alive`));
  const running = (await (await fetch(`${cluster.url}/cluster/nodes`)).json()) as { id: string; running: boolean }[];
  expect(running.map(({ id, running }) => [id, running])).toEqual(cluster.ids.map((id) => [id, true]));
});

test('a node can be stopped, started, killed and restarted, and the page says how it ended', async ({
  cluster,
  dashboard,
}) => {
  const leader = await cluster.startNodes();
  const id = cluster.ids.find((one) => one !== leader)!;
  await dashboard.open();
  await dashboard.expectStanding(id, 'follower');

  await dashboard.act(id, 'stop');
  await dashboard.expectStanding(id, 'stopped');
  await expect(dashboard.headline).toContainText('2 of 3 alive');
  await expect(dashboard.control(id, 'kill')).toHaveCount(0);

  await dashboard.act(id, 'start');
  await dashboard.expectStanding(id, 'follower');

  await dashboard.act(id, 'kill');
  await expect(dashboard.row(id)).toContainText('SIGKILL');
  await expect(dashboard.headline).toContainText('2 of 3 alive');

  await dashboard.act(id, 'start');
  await dashboard.expectStanding(id, 'follower');

  const pid = () => fetchPid(cluster.port(id));
  const before = await pid();
  await dashboard.act(id, 'restart');
  await expect.poll(pid).not.toBe(before);
  await dashboard.expectStanding(id, 'follower');
  await expect(dashboard.headline).toContainText('3 of 3 alive');
});

test('a node that ends by itself is shown at once as gone', async ({ cluster, dashboard }) => {
  const leader = await cluster.startNodes();
  const id = cluster.ids.find((one) => one !== leader)!;
  await dashboard.open();
  await dashboard.expectStanding(id, 'follower');
  process.kill((await fetchPid(cluster.port(id)))!, 'SIGKILL');
  await dashboard.expectStanding(id, 'gone', 2_000);
});

test('without a majority the page says so, and a second node brings it back', async ({ cluster, dashboard }) => {
  const leader = await cluster.startNodes();
  const [one, other] = cluster.ids.filter((id) => id !== leader) as [string, string];
  await dashboard.open();
  await dashboard.act(one, 'kill');
  await dashboard.expectStanding(one, 'stopped');
  await dashboard.act(other, 'kill');
  await expect(dashboard.headline).toContainText('No quorum.');
  await dashboard.act(one, 'start');
  await expect(dashboard.headline).toContainText('2 of 3 alive');
  await expect(dashboard.headline).toContainText(/n\d leads term \d+/);
});

test('nodes outlive a gateway that crashes, and the next one adopts and can stop them', async ({
  cluster,
  dashboard,
}) => {
  await cluster.startNodes();
  const pids = await Promise.all(cluster.ports.nodes.map(fetchPid));
  await cluster.stopGateway('SIGKILL');
  await cluster.startGateway();
  await dashboard.open();
  await expect(dashboard.headline).toContainText('3 of 3 alive');
  expect(await Promise.all(cluster.ports.nodes.map(fetchPid))).toEqual(pids);
  await dashboard.act('n2', 'stop');
  await dashboard.expectStanding('n2', 'stopped');
});

async function fetchPid(port: number): Promise<number | undefined> {
  const answer = await fetch(`http://127.0.0.1:${port + 100}/status`).catch(() => undefined);
  return ((await answer?.json()) as { pid: number } | undefined)?.pid;
}
