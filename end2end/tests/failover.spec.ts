// What was acknowledged is on every node, once, in one order: through a lost leader and a returning node.
import { leaderOf, status } from '../fixtures/admin.ts';
import { history, type HistoryLine } from '../fixtures/line.ts';
import { until } from '../fixtures/processes.ts';
import { Publisher } from '../fixtures/publisher.ts';
import { expect, test } from '../fixtures/test.ts';

const CONVO = 'dm:ada:bob';

/** Waits until all these nodes have the topic's same records, at least `count`, and gives them. */
async function sameHistory(ports: number[], topic: string, count: number): Promise<HistoryLine[]> {
  return until(
    `${count} records of ${topic}, the same on ports ${ports.join(', ')}`,
    async () => {
      const [first, ...others] = await Promise.all(ports.map((port) => history(port, topic)));
      const text = JSON.stringify(first);
      return first!.length >= count && others.every((other) => JSON.stringify(other) === text) ? first : undefined;
    },
    15_000,
  );
}

test('a message sent on the page is on all three nodes with the same offset and Lamport time', async ({
  cluster,
  dashboard,
}) => {
  await cluster.startNodes();
  await dashboard.openConversation(CONVO, 'ada');
  await dashboard.send('good morning');

  const [record, ...more] = await sameHistory(cluster.ports.nodes, CONVO, 1);
  expect(more).toEqual([]);
  expect(record).toMatchObject({ offset: 1, text: 'ada: good morning' });
  expect(await dashboard.positions()).toEqual([{ id: record!.id, offset: 1, lamport: record!.lamport }]);
});

test('the leader killed from the page: a new one within 2 s, and nothing acknowledged is lost or doubled', async ({
  cluster,
  dashboard,
}) => {
  const ports = cluster.ports.nodes;
  const old = await cluster.startNodes();
  await dashboard.openConversation(CONVO, 'ada');
  await dashboard.send('before');
  const before = (await leaderOf(ports)).term;

  // Meanwhile somebody else publishes without pause, and keeps book of what was acknowledged.
  const publisher = new Publisher(cluster.url, CONVO);

  await dashboard.act(old, 'kill');
  const killed = performance.now();
  const rest = cluster.ids.filter((id) => id !== old);
  await dashboard.expectWithin(2_000, { leaderAmong: rest });
  const took_ms = performance.now() - killed;
  expect(took_ms, 'a new leader on the page, milliseconds after the kill').toBeLessThanOrEqual(2_000);
  expect((await leaderOf(rest.map((id) => cluster.port(id)))).term).toBeGreaterThan(before);

  await dashboard.send('after');

  await dashboard.act(old, 'start');
  await until(`${old} has caught up`, async () => {
    const [mine, leader] = [await status(cluster.port(old)), await leaderOf(ports)];
    return mine?.role === 'follower' && mine.applied_index >= leader.commit_index - 50 ? true : undefined;
  });
  const acknowledged = await publisher.stop();
  expect(acknowledged.length).toBeGreaterThan(0);

  const records = await sameHistory(ports, CONVO, acknowledged.length + 2);
  const ids = records.map((record) => record.id);
  expect(new Set(ids).size, 'nothing twice').toBe(ids.length);
  expect(acknowledged.filter((id) => !ids.includes(id)), 'acknowledged and missing').toEqual([]);
  expect(records.map((record) => record.offset)).toEqual(records.map((_, i) => i + 1));
  for (const [i, record] of records.entries()) {
    if (i > 0) expect(record.lamport).toBeGreaterThan(records[i - 1]!.lamport);
  }
  const texts = records.map((record) => record.text);
  expect(texts.indexOf('ada: before')).toBeLessThan(texts.indexOf('ada: after'));
  for (const text of ['ada: before', 'ada: after']) expect(texts.filter((one) => one === text)).toHaveLength(1);
  for (const text of ['before', 'after']) await expect(dashboard.message(text)).toHaveCount(1);
});
