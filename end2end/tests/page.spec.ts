// The page itself: readable without wasm, usable from the keyboard, accessible, narrow enough, small enough.
import { createRequire } from 'node:module';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import { Dashboard } from '../fixtures/dashboard.ts';
import { SITE } from '../fixtures/cluster.ts';
import { expect, test } from '../fixtures/test.ts';

const PLACES = ['/', '/timeline', '/time', '/terminals', '/dm/dm:ada:bob'];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('the page tells how the cluster stands and what was said, and its controls work', async ({ cluster, page }) => {
    const dashboard = new Dashboard(page);
    await page.goto('/');
    await expect(dashboard.headline).toHaveText(/^Three nodes, none of them running/);
    await dashboard.startCluster();
    await cluster.startNodes();
    await cluster.publish('dm:ada:bob', 'ada: hello without scripts');
    await page.goto('/?convo=dm:ada:bob');
    await expect(dashboard.headline).toHaveText(/^n\d leads term \d+\s·\s3 of 3 alive/);
    await expect(dashboard.standing('leader')).toHaveCount(1);
    await expect(dashboard.standing('follower')).toHaveCount(2);
    await expect(dashboard.message('hello without scripts')).toHaveAttribute('data-offset', '1');

    // The forms are plain forms.
    await page.getByLabel('Message', { exact: true }).fill('sent by a form');
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.goto('/?convo=dm:ada:bob');
    await expect(dashboard.messages).toHaveCount(2);
    const id = (await dashboard.standing('follower').first().getAttribute('data-node'))!;
    await dashboard.act(id, 'stop');
    await page.goto('/');
    await dashboard.expectStanding(id, 'stopped');
  });
});

test('the keyboard alone does: the list of keys, the places, writing, pausing', async ({ cluster, dashboard }) => {
  await cluster.startNodes();
  const { page } = dashboard;
  await dashboard.open();
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keys' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);

  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await expect(page).toHaveURL(/\/timeline$/);
  await page.goBack();
  await expect(page).toHaveURL(/\/$/);

  await page.keyboard.press('m');
  await page.keyboard.type('by keyboard? yes');
  await page.keyboard.press('Enter');
  await expect(dashboard.message('by keyboard? yes')).toHaveAttribute('data-state', 'delivered');
  await page.keyboard.press('Escape');
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press('p');
  await expect(dashboard.connection).toHaveAttribute('data-connection', 'paused');
  await page.keyboard.press('p');
  await dashboard.expectLive();
});

test('the theme follows the system, and the switch overrules it', async ({ cluster, dashboard }) => {
  await cluster.startNodes();
  const { page } = dashboard;
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  await dashboard.open();
  const light = await paper();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await paper();
  expect(dark).not.toBe(light);
  await page.getByRole('button', { name: /^Theme: system/ }).click();
  await expect(page.getByRole('button', { name: /^Theme: light/ })).toBeVisible();
  expect(await paper()).toBe(light);
  await page.reload();
  expect(await paper(), 'the choice is kept').toBe(light);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`nothing that axe knows of keeps anybody out (${colorScheme})`, async ({ cluster, dashboard }) => {
    await cluster.startNodes();
    await cluster.publish('dm:ada:bob', 'ada: something to read');
    await dashboard.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const place of PLACES) {
      await dashboard.open(place);
      expect(await violations(dashboard), place).toEqual([]);
    }
    await dashboard.open('/');
    await dashboard.act('n1', 'kill');
    await expect(dashboard.headline).toContainText('2 of 3 alive');
    expect(await violations(dashboard), 'with a node down').toEqual([]);
  });
}

async function violations(dashboard: Dashboard): Promise<string[]> {
  await dashboard.page.evaluate(axe);
  const results = (await dashboard.page.evaluate(() =>
    (window as unknown as { axe: { run(options: unknown): Promise<unknown> } }).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  )) as AxeResults;
  return results.violations.flatMap((found) =>
    found.nodes.map((node) => `${found.id}: ${node.target.join(' ')}: ${node.failureSummary}`),
  );
}

for (const width of [360, 390]) {
  test(`at ${width} px nothing has to be scrolled sideways`, async ({ cluster, dashboard }) => {
    const leader = await cluster.startNodes();
    await cluster.publish('dm:ada:bob', `ada: ${'averylongword'.repeat(20)}`);
    await dashboard.page.setViewportSize({ width, height: 844 });
    for (const place of PLACES) {
      await dashboard.open(place);
      await expectNoSidewaysScroll(dashboard, place);
    }
    await dashboard.open('/');
    await dashboard.act(leader, 'kill');
    await dashboard.expectWithin(5_000, { leaderAmong: cluster.ids.filter((id) => id !== leader) });
    await expectNoSidewaysScroll(dashboard, 'with a node down');
  });
}

async function expectNoSidewaysScroll(dashboard: Dashboard, place: string): Promise<void> {
  const [content, window] = await dashboard.page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(content, `${place}: width of the content in a window of ${window} px`).toBeLessThanOrEqual(window!);
}

test('wasm and js are at most 450 KB compressed, served compressed, and cached for good', async ({ cluster, page }) => {
  const BUDGET_BYTES = 450 * 1024;
  const pkg = join(SITE, 'pkg');
  const shipped = readdirSync(pkg).filter((name) => /\.(wasm|js)\.br$/.test(name));
  expect(shipped).toHaveLength(2);
  const bytes = shipped.reduce((sum, name) => sum + statSync(join(pkg, name)).size, 0);
  expect(bytes).toBeLessThanOrEqual(BUDGET_BYTES);

  const served = page.waitForResponse((response) => response.url().endsWith('.wasm'));
  await page.goto(cluster.url);
  const headers = await (await served).allHeaders();
  expect(headers['content-encoding']).toBe('br');
  expect(headers['cache-control']).toContain('immutable');
});

test('a page that does not exist is answered with 404 and a way back', async ({ page, expectedConsole }) => {
  expectedConsole.push(/404/);
  const answer = await page.goto('/nowhere');
  expect(answer?.status()).toBe(404);
  await page.getByRole('link', { name: 'the cluster', exact: true }).click();
  await expect(page).toHaveURL(/\/$/);
});
