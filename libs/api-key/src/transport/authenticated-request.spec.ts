import { ApiKey } from '../model/api-key.entity';
import {
  Authentication,
  attachAuthentication,
  authenticationOf,
  exposeThrough,
} from './authenticated-request';

const apiKey = new ApiKey();
const user = { id: '1' };

it('an authenticated request is marked as authenticated, with its key and user', () => {
  const request = {};
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect(request).toMatchObject({ apiKey, user });
});

it.each<[string, (request: object) => object]>([
  ['inherits from an authenticated request', (request) => Object.create(request)],
  ['is a copy of an authenticated request', (request) => ({ ...request })],
  ['has all properties of an authenticated request', (request) => Object.assign({}, request)],
])('a request that %s does not become authenticated by that', (_, derive) => {
  const request = {};
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(derive(request))).toBeUndefined();
});

it('a request does not become authenticated by data that a body or a header can set', () => {
  expect(authenticationOf(JSON.parse('{"apiKey":{},"user":{"id":1},"request":{}}'))).toBeUndefined();
});

it('a getter of the application on the request is replaced', () => {
  const request = Object.create(Object.defineProperty({}, 'user', { get: () => 'nobody' }));
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(request.user).toBe(user);
});

it('a request without a prototype is authenticated like any other', () => {
  const request = Object.create(null);
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect([request.apiKey, request.user]).toEqual([apiKey, user]);
});

it('a correct existing property is left unchanged', () => {
  const request = Object.defineProperty({}, 'user', { value: user });
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(request).toMatchObject({ apiKey, user });
});

it('requests read key and user through their prototype if it has no such properties', () => {
  const prototype = {};
  exposeThrough(prototype);
  const [request, other] = [Object.create(prototype), Object.create(prototype)];
  attachAuthentication(request, new Authentication(apiKey, user));
  expect([request.user, request.apiKey, Object.hasOwn(request, 'user')]).toEqual([user, apiKey, false]);
  expect([other.user, other.apiKey]).toEqual([undefined, undefined]);
});

it.each([
  'apiKey',
  'user',
])('a prototype that has its own %s keeps it, and requests get their own properties', (name) => {
  const prototype = { [name]: 'of the application' };
  exposeThrough(prototype);
  const request = Object.create(prototype);
  expect(request[name]).toBe('of the application');
  attachAuthentication(request, new Authentication(apiKey, user));
  expect([request.apiKey, request.user]).toEqual([apiKey, user]);
});

const LINES = ['host', 'localhost'];

it.each<[string, () => object]>([
  [
    'is created again on each read',
    () => ({
      get rawHeaders() {
        return [...LINES];
      },
    }),
  ],
  ['is frozen', () => ({ rawHeaders: Object.freeze([...LINES]) })],
])('a request whose list of header lines %s is authenticated like any other', (_, make) => {
  const request = make();
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect(authenticationOf(make())).toBeUndefined();
});

it('requests that share one list of header lines keep separate keys', () => {
  const prototype = {};
  exposeThrough(prototype);
  const rawHeaders = [...LINES];
  const requests = ['1', '2', '3'].map((id) => ({
    id,
    it: Object.assign(Object.create(prototype), { rawHeaders }),
  }));
  for (const { id, it: request } of requests) attachAuthentication(request, new Authentication(apiKey, id));
  expect(requests.map(({ it: request }) => authenticationOf(request)?.user)).toEqual(['1', '2', '3']);
  expect(requests.map(({ it: request }) => request.user)).toEqual(['1', '2', '3']);
});

describe('a request that reads through its prototype and reuses the header list of another request', () => {
  const prototype = {};
  exposeThrough(prototype);
  const rawHeaders = [...LINES];
  const make = (): { user?: unknown; apiKey?: unknown } =>
    Object.assign(Object.create(prototype), { rawHeaders });
  const before = make();
  attachAuthentication(before, new Authentication(apiKey, user));

  it('is not authenticated', () => {
    const { user: found, apiKey: key } = make();
    expect([found, key]).toEqual([undefined, undefined]);
  });

  it.each([
    ['an object that inherits from the other request', () => Object.create(before)],
    ['a proxy of the other request', () => new Proxy(before, {})],
    ['an object that inherits from a proxy of the other request', () => Object.create(new Proxy(before, {}))],
  ])('%s has the key and user of the other request', (_, derive) => {
    expect(derive()).toMatchObject({ user, apiKey });
  });
});
