import { Lanes } from './lanes';

const patient = () => 60_000;
const built: Lanes[] = [];
const lanes = (waitingInLane = 10, inAllLanes = 100, ofOneLast = inAllLanes) => {
  const into = new Lanes({ waitingInLane, ofOneLast, inAllLanes });
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

it('work is refused at once if too much work has its last lane, and work with another last lane is not', async () => {
  const into = lanes(10, 100, 3);
  const leave = await into.enter(['key 1', 'owner'], patient);
  const waiting = ['key 2', 'key 3'].map((key) => into.enter([key, 'owner'], patient));
  for (const refused of [['key 4', 'owner'], ['owner']])
    await expect(into.enter(refused, patient)).rejects.toMatchObject({ code: 'EBUSY' });
  for (const free of [['key 4', 'other'], ['key 4'], []]) (await into.enter(free, patient))();
  leave();
  for (const next of waiting) (await next)();
  (await into.enter(['key 4', 'owner'], patient))();
});

it('work that is refused in a lane no longer counts for its last lane', async () => {
  const into = lanes(10, 100, 2);
  const leave = await into.enter(['key', 'owner'], patient);
  for (let n = 0; n < 3; n++)
    await expect(into.enter(['key', 'owner'], () => 0)).rejects.toMatchObject({ code: 'EBUSY' });
  const next = into.enter(['key', 'owner'], patient);
  leave();
  (await next)();
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
