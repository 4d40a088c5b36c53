// Every arrow is drawn from facts: the send and the receive of one RPC message, as two nodes tell them.
import { Trace, type TraceEvent } from '../fixtures/admin.ts';
import { expect, test } from '../fixtures/test.ts';

test("every arrow pairs one RPC's send and receive as the two nodes' own events tell them", async ({
  cluster,
  dashboard,
}) => {
  await cluster.startNodes();
  const traces = cluster.ports.nodes.map((port) => new Trace(port));
  await dashboard.open('/timeline');
  await expect(dashboard.arrowElements()).not.toHaveCount(0);
  for (let n = 1; n <= 5; n++) await cluster.publish('lobby', `message ${n}`);
  await expect(dashboard.arrowElements('append')).not.toHaveCount(0);
  await dashboard.pause();
  const arrows = await dashboard.arrows();

  // The nodes' streams may run behind the gateway's; they are complete up to the pause a little later.
  const key = (event: TraceEvent) => `${event.kind} ${event.node} ${event.rpc!.id} ${event.rpc!.leg}`;
  const byKey = new Map<string, TraceEvent>();
  await expect(async () => {
    for (const event of traces.flatMap((trace) => trace.events.splice(0))) {
      if (event.rpc) byKey.set(key(event), event);
    }
    for (const arrow of arrows) {
      expect(byKey.has(`send ${arrow.from} ${arrow.rpcId} ${arrow.leg}`)).toBe(true);
      expect(byKey.has(`receive ${arrow.to} ${arrow.rpcId} ${arrow.leg}`)).toBe(true);
    }
  }, 'both nodes tell of every arrow').toPass({ timeout: 5_000 });
  for (const trace of traces) await trace.stop();

  for (const arrow of arrows) {
    const send = byKey.get(`send ${arrow.from} ${arrow.rpcId} ${arrow.leg}`)!;
    const receive = byKey.get(`receive ${arrow.to} ${arrow.rpcId} ${arrow.leg}`)!;
    expect({ ...arrow }).toEqual({
      rpcId: send.rpc!.id,
      leg: send.rpc!.leg,
      kind: send.rpc!.kind,
      from: receive.peer,
      to: send.peer,
      sendLamport: send.lamport,
      receiveLamport: receive.lamport,
    });
    expect(receive.rpc).toEqual(send.rpc);
    expect(receive.lamport, 'a receive is later than its send').toBeGreaterThan(send.lamport);
  }
  // One arrow a message, both halves of RPCs, and between more than one pair of nodes.
  expect(new Set(arrows.map((arrow) => `${arrow.rpcId} ${arrow.leg}`)).size).toBe(arrows.length);
  expect(new Set(arrows.map((arrow) => arrow.leg))).toEqual(new Set(['request', 'response']));
  expect(new Set(arrows.map((arrow) => arrow.from)).size).toBeGreaterThanOrEqual(3);
});
