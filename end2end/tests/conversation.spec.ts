// A conversation goes on by itself after the gateway was gone: nothing lost, nothing twice.
import { Dashboard } from '../fixtures/dashboard.ts';
import { ask, history } from '../fixtures/line.ts';
import { expect, test } from '../fixtures/test.ts';

const CONVO = 'dm:ada:bob';

// While the gateway is down the browser itself reports each refused connection.
test.use({ expectedConsole: [/net::ERR_CONNECTION_|WebSocket connection to .* failed/] });

test('the gateway crashes and comes back: what was said meanwhile appears once, in order', async ({
  cluster,
  dashboard,
}) => {
  await cluster.startNodes();
  await dashboard.openConversation(CONVO, 'ada');
  await dashboard.send('one');

  await cluster.stopGateway('SIGKILL');
  await dashboard.expectConversation('lost');
  await expect(dashboard.connection).toHaveAttribute('data-connection', 'lost');
  // Somebody goes on talking to the nodes directly.
  for (const text of ['two', 'three', 'four']) {
    const [answer] = await ask(cluster.ports.nodes[1]!, `PUB ${CONVO} bob: ${text}`, /./);
    expect(answer).toMatch(/^OK /);
  }
  await cluster.startGateway();
  await dashboard.expectConversation('live');
  await dashboard.expectLive();
  await dashboard.send('five');

  const texts = ['one', 'two', 'three', 'four', 'five'];
  await expect(dashboard.messages.locator('.text')).toHaveText(texts);
  const records = await history(cluster.ports.nodes[0]!, CONVO);
  expect(await dashboard.positions()).toEqual(
    records.map(({ id, offset, lamport }) => ({ id, offset, lamport })),
  );
  expect(records.map((record) => record.offset)).toEqual([1, 2, 3, 4, 5]);
});

test('a message sent while the gateway is away is stored once when it is back', async ({ cluster, dashboard }) => {
  await cluster.startNodes();
  await dashboard.openConversation(CONVO, 'ada');
  await cluster.stopGateway('SIGKILL');
  await dashboard.expectConversation('lost');
  await dashboard.write('into the dark');
  await expect(dashboard.message('into the dark')).toHaveCount(1);
  await expect(dashboard.message('into the dark')).not.toHaveAttribute('data-state', 'delivered');
  await cluster.startGateway();
  await expect(dashboard.message('into the dark')).toHaveAttribute('data-state', 'delivered', { timeout: 20_000 });
  const records = await history(cluster.ports.nodes[0]!, CONVO);
  expect(records.map((record) => record.text)).toEqual(['ada: into the dark']);
});

test('two pages of one conversation see the same', async ({ cluster, dashboard, context }) => {
  await cluster.startNodes();
  await dashboard.openConversation(CONVO, 'ada');
  const other = new Dashboard(await context.newPage());
  await other.openConversation(CONVO, 'bob');
  await dashboard.send('hello bob');
  await expect(other.message('hello bob')).toHaveAttribute('data-offset', '1');
  await other.send('hello ada');
  await expect(dashboard.message('hello ada')).toHaveAttribute('data-offset', '2');
  expect(await other.positions()).toEqual(await dashboard.positions());
});
