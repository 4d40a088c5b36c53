// The place Time: what the clocks are, who is outvoted, and that a clock made false on purpose is found out.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import type { AxeResults } from 'axe-core';
import { status } from '../fixtures/admin.ts';
import { Dashboard } from '../fixtures/dashboard.ts';
import { expect, test } from '../fixtures/test.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ALL_AGREE = /^Cluster time is known to ±\s[\d.]+\s(µs|ms)\s·\s3 of 3 clocks agree$/;

test.describe('with false clocks allowed', () => {
  test.use({ gatewayOptions: ['--allow-faults'] });

  test('a clock set five seconds ahead is named within 3 s, and agrees again when it is taken back', async ({
    cluster,
    dashboard,
  }) => {
    const leader = await cluster.startNodes();
    const id = cluster.ids.find((one) => one !== leader)!;
    await dashboard.open('/time');
    await expect(dashboard.headline).toHaveText(ALL_AGREE);
    for (const one of cluster.ids) await dashboard.expectClock(one, 'agrees');

    await dashboard.falseClock(id).getByLabel('ahead by, ms').fill('5000');
    await dashboard.falseClock(id).getByRole('button', { name: 'Inject' }).click();
    await dashboard.expectClock(id, 'outvoted', 3_000);
    const outvoted = `^${id}’s clock is outvoted: (4\\.9|5\\.0)\\d\\d\\ss ahead of the two that agree`;
    await expect(dashboard.headline).toHaveText(new RegExp(outvoted));
    await expect(dashboard.clock(id)).toContainText(/truth \+(4,999|5,000)\./);
    for (const other of cluster.ids.filter((one) => one !== id)) {
      await dashboard.expectClock(other, 'agrees');
      await expect(dashboard.measurement(other, id)).toHaveAttribute('data-state', 'false');
      await expect(dashboard.measurement(other, id)).toContainText(/\+(4,999|5,000)\./);
    }

    // What the page shows is what the node itself says.
    const told = (await status(cluster.port(leader)))!.clock;
    expect(told.state).toBe('synchronised');
    expect(told.falsetickers.map((one) => one.id)).toEqual([id]);

    await dashboard.page.getByRole('button', { name: `Take back the false clock of ${id}` }).click();
    await dashboard.expectClock(id, 'agrees');
    await expect(dashboard.headline).toHaveText(ALL_AGREE);

    // What happened is told in words, and the cluster page's clock cell leads here.
    await dashboard.open('/');
    const told_in_words = dashboard.page.getByRole('log', { name: 'Newest first' });
    await expect(told_in_words).toContainText(`${id}’s clock was made false on purpose`);
    await expect(told_in_words).toContainText(`${id}’s clock is outvoted`);
    await expect(told_in_words).toContainText(`${id}’s clock agrees again.`);
    await dashboard.row(id).locator('a[href="/time"]').click();
    await expect(dashboard.page).toHaveURL(/\/time$/);
  });

  test('the bound is honest: the truth lies within it, and the estimates seen are drawn', async ({
    cluster,
    dashboard,
  }) => {
    await cluster.startNodes();
    await dashboard.open('/time');
    const strips = dashboard.page.locator('[data-pair]');
    await expect(strips).toHaveCount(6);
    await expect(dashboard.page.getByRole('region', { name: 'Was the bound honest?' })).toContainText(/Yes: in all \d/);
    await expect
      .poll(async () => ((await strips.first().locator('path.dots').first().getAttribute('d')) ?? '').split('M').length)
      .toBeGreaterThan(2);
    await expect(dashboard.page.locator('[data-violations]')).toHaveAttribute('data-violations', '0');
  });

  test('what is no clock is refused in words', async ({ cluster, dashboard, expectedConsole }) => {
    expectedConsole.push(/422/);
    await cluster.startNodes();
    await dashboard.open('/time');
    const form = dashboard.falseClock('n1');
    await form.evaluate((element: HTMLFormElement) => (element.noValidate = true));
    await form.getByLabel('faster by, ppm').fill('5000');
    await form.getByRole('button', { name: 'Inject' }).click();
    await expect(dashboard.page.locator('[data-fault="n1"]').getByRole('alert')).toContainText('drift_ppm must be from');
    await dashboard.expectClock('n1', 'agrees');
  });

  test.describe('without JavaScript', () => {
    test.use({ javaScriptEnabled: false });

    test('the page is complete, and its forms work', async ({ cluster, page }) => {
      const dashboard = new Dashboard(page);
      await cluster.startNodes();
      await expect(async () => {
        await page.goto('/time');
        await expect(dashboard.headline).toHaveText(ALL_AGREE, { timeout: 500 });
      }).toPass({ timeout: 10_000 });
      await expect(dashboard.measurement('n1', 'n2')).toContainText(/[+−]\d+\.\d+ ±\s\d+\.\d+/);
      await dashboard.falseClock('n3').getByRole('button', { name: 'Inject' }).click();
      await expect(page).toHaveURL(/\/time/);
      await expect(async () => {
        await page.goto('/time');
        await expect(dashboard.clock('n3')).toHaveAttribute('data-agreement', 'outvoted', { timeout: 500 });
      }).toPass({ timeout: 5_000 });
      await page.getByRole('button', { name: 'Take back the false clock of n3' }).click();
      await expect(async () => {
        await page.goto('/time');
        await expect(dashboard.headline).toHaveText(ALL_AGREE, { timeout: 500 });
      }).toPass({ timeout: 10_000 });
    });
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`an outvoted clock keeps nobody out (${colorScheme})`, async ({ cluster, dashboard }) => {
      await cluster.startNodes();
      await dashboard.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await dashboard.open('/time');
      await dashboard.falseClock('n2').getByRole('button', { name: 'Inject' }).click();
      await dashboard.expectClock('n2', 'outvoted');
      await dashboard.page.evaluate(axe);
      const results = (await dashboard.page.evaluate(() =>
        (window as unknown as { axe: { run(options: unknown): Promise<unknown> } }).axe.run({
          runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
        }),
      )) as AxeResults;
      const found = results.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target.join(' ')}`));
      expect(found).toEqual([]);
    });
  }
});

test('without a majority the page says so, and how to allow false clocks', async ({ cluster, dashboard }) => {
  const leader = await cluster.startNodes();
  await dashboard.open('/time');
  await expect(dashboard.headline).toHaveText(ALL_AGREE);
  await expect(dashboard.page.getByText('./dev run --allow-faults')).toBeVisible();
  await expect(dashboard.page.getByRole('button', { name: 'Inject' })).toHaveCount(0);
  const refused = await fetch(`${cluster.url}/api/fn/clock_fault`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ node: leader, skew_ms: 5_000 }),
  });
  expect(refused.status).toBe(403);

  const others = cluster.ids.filter((id) => id !== leader);
  for (const id of others) await fetch(`${cluster.url}/cluster/node/${id}/kill`, { method: 'POST' });
  await expect(dashboard.headline).toHaveText(new RegExp(`^Unsynchronised: ${leader} hears 1 of 3 clocks`), {
    timeout: 30_000,
  });
  for (const id of others) await dashboard.expectClock(id, 'away');
});

test('the keyboard goes to Time, and nothing there has to be scrolled sideways', async ({ cluster, dashboard }) => {
  await cluster.startNodes();
  await dashboard.open();
  await dashboard.page.keyboard.press('g');
  await dashboard.page.keyboard.press('i');
  await expect(dashboard.page).toHaveURL(/\/time$/);
  await expect(dashboard.headline).toHaveText(ALL_AGREE);
  for (const width of [360, 390, 900, 2560]) {
    await dashboard.page.setViewportSize({ width, height: 900 });
    const [content, window] = await dashboard.page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    expect(content, `${width} px`).toBeLessThanOrEqual(window!);
  }
});
