import { headFromFields, presentedCredential } from './request-head';

const presented = (headers: object) =>
  presentedCredential(headFromFields({ headers: headers as never }), 'X-API-Key');

it.each<[string, object]>([
  ['an object', { Authorization: 'Bearer secret' }],
  ['an object with lists', { authorization: ['Bearer secret'], 'x-other': null, via: undefined }],
  ['Headers of the Fetch standard', new Headers({ Authorization: 'Bearer secret' })],
  ['a Map', new Map([['AUTHORIZATION', 'Bearer secret']])],
])('the credential of a request whose header lines are unknown is in its headers: %s', (_, headers) => {
  expect(presented(headers)).toEqual({ kind: 'credential', value: 'secret' });
});

it.each<[string, object]>([
  ['as a list', { 'x-api-key': ['a', 'b'] }],
  ['joined with a comma', { 'x-api-key': 'a,b' }],
  ['in two spellings', { 'x-api-key': 'a', 'X-API-Key': 'b' }],
])('two credentials are two header lines, so that none of them counts: %s', (_, headers) => {
  const head = headFromFields({ headers: headers as never });
  expect(head.rawHeaders).toEqual(['x-api-key', 'a', 'x-api-key', 'b']);
  expect(head.headers).toEqual({ 'x-api-key': 'a,b' });
  expect(presented(headers)).toEqual({ kind: 'malformed' });
});
