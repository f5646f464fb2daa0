import { Lanes } from './lanes';

const patient = () => 60_000;
const built: Lanes[] = [];
const lanes = (waitingInLane = 10, inAllLanes = 100) => {
  const into = new Lanes({ waitingInLane, inAllLanes });
  built.push(into);
  return into;
};
const settled = () => new Promise(setImmediate);

/** What still waits would keep its timers. */
afterEach(() => {
  for (const into of built.splice(0)) into.refuse(new Error('the test is over'));
});

/** Enters lanes, and writes its name down when it is in. */
function entering(into: Lanes, lanes: readonly string[], entered: string[], name: string) {
  const work = into.enter(lanes, patient).then((leave) => {
    entered.push(name);
    return leave;
  });
  work.catch(() => {});
  return work;
}

it('the work of one lane runs one after the other, in the order of its arrival', async () => {
  const entered: string[] = [];
  const into = lanes();
  const [first, second, third] = ['a', 'b', 'c'].map((name) => entering(into, ['owner'], entered, name));
  await settled();
  expect(entered).toEqual(['a']);
  (await first)?.();
  await settled();
  expect(entered).toEqual(['a', 'b']);
  (await second)?.();
  (await third)?.();
  expect(entered).toEqual(['a', 'b', 'c']);
  (await entering(into, ['owner'], entered, 'd'))();
  expect(entered).toEqual(['a', 'b', 'c', 'd']);
});

it('work of other lanes, and work without a lane, does not wait', async () => {
  const entered: string[] = [];
  const into = lanes();
  for (const name of ['a', 'b']) void entering(into, ['owner'], entered, name);
  void entering(into, ['other'], entered, 'c');
  for (const name of ['d', 'e']) void entering(into, [], entered, name);
  await settled();
  expect(entered.sort()).toEqual(['a', 'c', 'd', 'e']);
});

it('work of two lanes waits in the first, then in the second, and leaves both at its end', async () => {
  const entered: string[] = [];
  const into = lanes();
  const works = [
    entering(into, ['key 1', 'owner'], entered, 'a'),
    entering(into, ['key 1', 'owner'], entered, 'b'),
    entering(into, ['key 1', 'owner'], entered, 'c'),
    entering(into, ['key 2', 'owner'], entered, 'd'),
  ];
  const order = [];
  for (const at of [0, 3, 1, 2]) {
    await settled();
    order.push([...entered]);
    (await works[at])?.();
  }
  expect(order).toEqual([['a'], ['a', 'd'], ['a', 'd', 'b'], ['a', 'd', 'b', 'c']]);
  (await entering(into, ['owner', 'key 1', 'key 2'], entered, 'e'))();
  expect(entered).toHaveLength(5);
});

it('work that is refused in its second lane leaves the first', async () => {
  const into = lanes();
  const leave = await into.enter(['owner'], patient);
  await expect(into.enter(['key', 'owner'], () => 0)).rejects.toMatchObject({ code: 'EBUSY' });
  (await into.enter(['key'], patient))();
  leave();
});

it('work is refused at once if too much of its lane waits, and other lanes still take work', async () => {
  const into = lanes(2);
  const leave = await into.enter(['owner'], patient);
  const waiting = [into.enter(['owner'], patient), into.enter(['owner'], patient)];
  await expect(into.enter(['owner'], patient)).rejects.toMatchObject({ code: 'EBUSY' });
  (await into.enter(['other'], patient))();
  leave();
  for (const next of waiting) (await next)();
  (await into.enter(['owner'], patient))();
});

it('work is refused at once if all lanes are full, with or without a lane, until some work ends', async () => {
  const into = lanes(10, 2);
  const leave = await into.enter(['owner'], patient);
  const leaveOther = await into.enter([], patient);
  for (const lanes of [['owner'], ['new'], []])
    await expect(into.enter(lanes, patient)).rejects.toMatchObject({ code: 'EBUSY' });
  leave();
  (await into.enter([], patient))();
  leaveOther();
});

/** Enters lanes in turn. Returns the names of the work that was refused so far. */
function entrants(into: Lanes) {
  const refused: string[] = [];
  const enter = (name: string, ...path: string[]) => {
    const work = into.enter(path, patient);
    work.catch(() => refused.push(name));
    return work;
  };
  return { refused, enter };
}

it('if all lanes are full, new work takes the place of the newest work of the last lane with the most', async () => {
  const into = lanes(10, 4);
  const { refused, enter } = entrants(into);
  const leave = await enter('a1', 'key 1', 'owner');
  const second = enter('a2', 'key 1', 'owner');
  for (const name of ['a3', 'a4']) void enter(name, 'key 1', 'owner').catch(() => {});
  (await enter('b', 'key', 'other'))();
  await settled();
  expect(refused).toEqual(['a4']);
  const [third, fourth] = [enter('c', 'key 2', 'owner'), enter('d', 'key 2', 'owner')];
  await settled();
  expect(refused).toEqual(['a4', 'a3']);
  void enter('e', 'key 1', 'owner').catch(() => {});
  await settled();
  expect(refused).toEqual(['a4', 'a3', 'e']);
  leave();
  for (const next of [third, second, fourth]) (await next)();
});

it('if all lanes are full and each first lane has one piece of work, the newest in the last lane gives its place', async () => {
  const into = lanes(10, 3);
  const { refused, enter } = entrants(into);
  const leave = await enter('a', 'key 1', 'owner');
  for (const [name, key] of [
    ['b', 'key 2'],
    ['c', 'key 3'],
  ] as const)
    void enter(name, key, 'owner').catch(() => {});
  await settled();
  (await enter('d', 'other'))();
  await settled();
  expect(refused).toEqual(['c']);
  leave();
});

it('work that waits longer than its deadline is refused, and gives its place to the next', async () => {
  const into = lanes(2, 3);
  const leave = await into.enter(['owner'], patient);
  await expect(into.enter(['owner'], () => 0)).rejects.toMatchObject({ code: 'EBUSY' });
  const next = [into.enter(['owner'], patient), into.enter(['owner'], patient)];
  leave();
  for (const each of next) (await each)();
});

it('all work that waits can be refused, and work that runs may still leave', async () => {
  const into = lanes();
  const leave = await into.enter(['owner'], patient);
  const waiting = into.enter(['owner'], patient);
  into.refuse(new Error('the end'));
  await expect(waiting).rejects.toThrow('the end');
  leave();
  (await into.enter(['owner'], patient))();
});
