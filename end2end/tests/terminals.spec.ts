// The terminals show what the processes print, as they print it.
import { appendFileSync, readFileSync, renameSync } from 'node:fs';
import { expect, test } from '../fixtures/test.ts';

/** Text without colour sequences. */
const plain = (text: string) => text.replace(/\x1b\[[0-9;]*m/g, '');

test('each terminal shows its own console, and streams what comes', async ({ cluster, dashboard }) => {
  const leader = await cluster.startNodes();
  await dashboard.open('/terminals');
  for (const id of cluster.ids) {
    const last = plain(readFileSync(cluster.consoleLog(id), 'utf8')).trimEnd().split('\n').at(-1)!;
    await expect(dashboard.terminal(id)).toContainText(last.trim());
  }

  // A line that appears now is on the page now, and in its own terminal only.
  const [id, other] = cluster.ids.filter((one) => one !== leader) as [string, string];
  appendFileSync(cluster.consoleLog(id), '\x1b[31mred\x1b[0m <b>marks</b> & a line of our own\n');
  await expect(dashboard.terminal(id)).toContainText('red <b>marks</b> & a line of our own');
  await expect(dashboard.terminal(other)).not.toContainText('a line of our own');
  await expect(dashboard.terminal(id).locator('b')).toHaveCount(0);
  const red = dashboard.terminal(id).getByText('red', { exact: true });
  expect(await red.evaluate((span) => getComputedStyle(span).color)).not.toBe(
    await dashboard.terminal(id).evaluate((screen) => getComputedStyle(screen).color),
  );

  // What really happens is told by the processes themselves.
  await dashboard.open('/');
  await dashboard.act(leader, 'kill');
  await dashboard.expectWithin(5_000, { leaderAmong: cluster.ids.filter((one) => one !== leader) });
  const next = (await dashboard.standing('leader').getAttribute('data-node'))!;
  await expect(dashboard.terminal(next)).toContainText(/leader/i);
});

test('a paused terminal stays where it is and says what is new; following again shows it', async ({
  cluster,
  dashboard,
}) => {
  await cluster.startNodes();
  await dashboard.open('/terminals');
  const log = cluster.consoleLog('n1');
  appendFileSync(log, Array.from({ length: 300 }, (_, i) => `filler ${i}\n`).join(''));
  await expect(dashboard.terminal('n1')).toContainText('filler 299');
  const button = dashboard.followButton('n1');
  await expect(button).toHaveText('following');
  await button.click();
  await expect(button).toHaveText('paused');
  const before = await dashboard.terminal('n1').evaluate((screen) => screen.scrollTop);
  appendFileSync(log, 'while you were reading\n');
  await expect(dashboard.page.getByRole('button', { name: /new lines? below/ })).toBeVisible();
  expect(await dashboard.terminal('n1').evaluate((screen) => screen.scrollTop)).toBe(before);
  await button.click();
  await expect(dashboard.terminal('n1').getByText('while you were reading')).toBeInViewport();
});

test('a rotated log goes on streaming', async ({ cluster, dashboard }) => {
  await cluster.startNodes();
  await dashboard.open('/terminals');
  const log = cluster.consoleLog('n3');
  appendFileSync(log, 'before the rotation\n');
  await expect(dashboard.terminal('n3')).toContainText('before the rotation');
  renameSync(log, `${log}.1`);
  appendFileSync(log, 'after the rotation\n');
  await expect(dashboard.terminal('n3')).toContainText('after the rotation');
  await expect(dashboard.terminal('n3').getByText('before the rotation')).toHaveCount(1);
});
