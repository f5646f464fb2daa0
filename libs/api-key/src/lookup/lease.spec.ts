import { Lease } from './lease';

const BOUND_MS = 2_000;
const DAY_MS = 86_400_000;

/** Clocks that a test moves. */
class FakeClock {
  at = 1_000;
  offset = 0;
  monotonic = () => this.at;
  wall = () => this.at + this.offset;
  moment = () => ({ monotonic: this.monotonic(), wall: this.wall() });
}

function heldLease() {
  const clock = new FakeClock();
  const lease = new Lease(BOUND_MS, clock);
  lease.begin();
  lease.renew(clock.moment());
  return { clock, lease, session: lease.session ?? -1 };
}

const trusts = ({ clock, lease, session }: ReturnType<typeof heldLease>) =>
  lease.trusts(session, clock.monotonic());

it('nothing is trusted before a session, nor before the return of its first heartbeat', () => {
  const clock = new FakeClock();
  const lease = new Lease(BOUND_MS, clock);
  expect([lease.session, lease.isHeld()]).toEqual([null, false]);
  lease.renew(clock.moment());
  expect(lease.isHeld()).toBe(false);
  lease.begin();
  expect(lease.isHeld()).toBe(false);
  lease.renew(clock.moment());
  expect(lease.isHeld()).toBe(true);
});

it('a lease counts from the sending of the heartbeat, and ends on the millisecond', () => {
  const held = heldLease();
  const sent = held.clock.moment();
  held.clock.at += 1_500;
  held.lease.renew(sent);
  held.clock.at += 499;
  expect(trusts(held)).toBe(true);
  held.clock.at += 1;
  expect(trusts(held)).toBe(false);
});

it('a cache entry of another session is not trusted', () => {
  const held = heldLease();
  held.lease.lose();
  expect([trusts(held), held.lease.session]).toEqual([true, null]);
  held.lease.begin();
  held.lease.renew(held.clock.moment());
  expect(trusts(held)).toBe(false);
  expect(held.lease.isHeld()).toBe(true);
});

it('a heartbeat that returns after the session was lost renews nothing', () => {
  const held = heldLease();
  held.lease.lose();
  held.clock.at += BOUND_MS;
  held.lease.renew(held.clock.moment());
  expect(trusts(held)).toBe(false);
});

it.each([
  ['forward ends the lease until the next heartbeat, and voids cache entries', DAY_MS, false],
  ['back changes nothing', -DAY_MS, true],
])('the wall clock set a day %s', (_, offset, trusted) => {
  const held = heldLease();
  held.clock.offset = offset;
  expect(trusts(held)).toBe(trusted);
  held.lease.renew(held.clock.moment());
  expect([trusts(held), held.lease.isHeld()]).toEqual([trusted, true]);
});

it('a machine that slept, so that only the wall clock advanced, trusts no older cache entry', () => {
  const held = heldLease();
  held.clock.offset = 60_000;
  expect(held.lease.isHeld()).toBe(false);
  held.lease.renew(held.clock.moment());
  expect(trusts(held)).toBe(false);
  expect(held.lease.isHeld()).toBe(true);
});

it('a wall clock that was set back does not lengthen a lease', () => {
  const held = heldLease();
  held.clock.offset = -DAY_MS;
  held.clock.at += BOUND_MS;
  expect(trusts(held)).toBe(false);
});

it('the lease ends when the wall clock reaches the bound, whatever the monotonic clock says', () => {
  const held = heldLease();
  held.clock.offset = BOUND_MS;
  expect(trusts(held)).toBe(false);
  held.clock.offset = BOUND_MS - 1;
  expect(trusts(held)).toBe(true);
});

it('a drift between the clocks up to the bound voids no entry, and a larger drift voids entries after any time', () => {
  const held = heldLease();
  held.clock.at += 30 * DAY_MS;
  held.clock.offset = BOUND_MS;
  held.lease.renew(held.clock.moment());
  expect(trusts(held)).toBe(true);
  held.clock.offset = BOUND_MS + 1;
  held.lease.renew(held.clock.moment());
  expect(trusts(held)).toBe(false);
});

it('a drift that is possibly less than the bound voids cache entries, however long they are served', () => {
  const clock = new FakeClock();
  const lease = new Lease(DAY_MS, clock, BOUND_MS);
  lease.begin();
  lease.renew(clock.moment());
  const { session } = lease;
  for (const offset of [BOUND_MS, BOUND_MS + 1]) {
    clock.offset = offset;
    lease.renew(clock.moment());
    expect(lease.session === session).toBe(offset === BOUND_MS);
  }
});

it('the age of a heartbeat counts from its sending', () => {
  const held = heldLease();
  held.clock.at += 300;
  expect(held.lease.heartbeatAgeMs()).toBe(300);
});
