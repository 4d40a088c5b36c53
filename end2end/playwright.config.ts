// How the browser tests run: an installed Chromium where there is one, one test after another on a small
// machine (they measure failover in real time), and traces kept for what failed.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { defineConfig } from '@playwright/test';

const installed = [
  process.env.WIBER_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path && existsSync(path));

export default defineConfig({
  outputDir: 'test-results',
  globalSetup: './fixtures/run_folder.ts',
  forbidOnly: process.env.CI === 'true',
  fullyParallel: true,
  // Three nodes, a gateway and a browser for each worker.
  workers: Math.max(1, Math.floor(availableParallelism() / 4)),
  retries: 0,
  timeout: 60_000,
  reporter: [['list'], ['html', { open: 'never' }]],
  use: {
    browserName: 'chromium',
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    screenshot: 'only-on-failure',
    trace: { mode: 'retain-on-failure', screenshots: false },
    launchOptions: {
      executablePath: installed,
      args: [
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-default-browser-check',
        '--no-first-run',
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      ],
    },
  },
  projects: [
    { name: 'browser', testDir: 'tests' },
    { name: 'pictures', testDir: 'pictures' },
  ],
});
