// Takes the pictures of the README from a real cluster at work: `./dev pictures`.
import { resolve } from 'node:path';
import { Publisher } from '../fixtures/publisher.ts';
import { expect, test } from '../fixtures/test.ts';

const FOLDER = resolve(import.meta.dirname, '../../docs/pictures');
const CONVO = 'dm:ada:grace';

test.use({ deviceScaleFactor: 1.5 });

test('the pictures of the README', async ({ cluster, dashboard }) => {
  const { page } = dashboard;
  const leader = await cluster.startNodes();
  const publisher = new Publisher(cluster.url, 'orders');
  // One change of leader, so that there is something to tell.
  const api = (path: string) => fetch(`${cluster.url}/cluster/node/${leader}/${path}`, { method: 'POST' });
  await api('kill');
  await dashboard.open();
  await dashboard.expectWithin(5_000, { leaderAmong: cluster.ids.filter((id) => id !== leader) });
  await api('restart');
  await dashboard.expectStanding(leader, 'follower');

  await dashboard.openConversation(CONVO, 'ada');
  await dashboard.send('Did the last order arrive? I saw the leader go.');
  await cluster.publish(CONVO, 'grace: It did, and once. The others took over.');
  await dashboard.send('Then I shall kill the next one too.');
  // As much traffic as fills the log figure's axis.
  await expect(async () => expect(publisher.acknowledged.length).toBeGreaterThan(120)).toPass();

  const picture = async (name: string, colorScheme: 'light' | 'dark') => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${FOLDER}/${name}-${colorScheme}.png` });
  };
  await page.evaluate(() => window.scrollTo(0, 0));
  await picture('cluster', 'light');
  await picture('cluster', 'dark');
  await dashboard.open('/timeline');
  await expect(dashboard.arrowElements('append')).not.toHaveCount(0);
  await dashboard.pause();
  await picture('timeline', 'light');
  await publisher.stop();
});

test.describe('with false clocks', () => {
  test.use({ gatewayOptions: ['--allow-faults'] });

  test('the picture of the place Time', async ({ cluster, dashboard }) => {
    const { page } = dashboard;
    await cluster.startNodes();
    const faults = [
      { node: 'n1', skew_ms: 250, drift_ppm: 0 },
      { node: 'n2', skew_ms: -40, drift_ppm: 0 },
      { node: 'n3', skew_ms: 5_000, drift_ppm: 30 },
    ];
    for (const fault of faults) {
      const headers = { 'content-type': 'application/json' };
      const request = { method: 'POST', headers, body: JSON.stringify(fault) };
      expect((await fetch(`${cluster.url}/api/fn/clock_fault`, request)).ok).toBe(true);
    }
    await page.setViewportSize({ width: 1440, height: 1000 });
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await dashboard.open('/time');
    await dashboard.expectClock('n3', 'outvoted');
    // Until the strips have something to show, and the drift is measured.
    await expect
      .poll(async () => ((await page.locator('[data-pair] path.dots').first().getAttribute('d')) ?? '').split('M').length, {
        timeout: 30_000,
      })
      .toBeGreaterThan(20);
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${FOLDER}/time-light.png` });
  });
});
