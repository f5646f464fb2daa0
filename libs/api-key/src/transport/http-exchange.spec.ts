import type { ExecutionContext } from '@nestjs/common';
import { type ApiKeyRequest, addressOf, headOf, requestIdOf, requestOf, setHeaders } from './http-exchange';

const contextOf = (type: string) =>
  ({
    getType: () => type,
    switchToHttp: () => ({ getRequest: () => 'the request' }),
  }) as unknown as ExecutionContext;

const nodeRequest = (fields: { address?: string; headers?: object }) =>
  ({ socket: { remoteAddress: fields.address }, headers: fields.headers ?? {} }) as unknown as ApiKeyRequest;

it('guards check the request of an HTTP context', () => {
  expect(requestOf(contextOf('http'))).toBe('the request');
});

it.each(['rpc', 'ws', 'graphql'])('a guard refuses every context of %s', (type) => {
  expect(() => requestOf(contextOf(type))).toThrow(
    `nestjs-api-key guards only HTTP routes, but is used on ${type}: remove the guard there`,
  );
});

it.each([
  ['Express', { headersSent: true }],
  ['Fastify', { raw: { headersSent: true } }],
])('no header is set on an answer of %s that has begun, which would be an error', (_, response) => {
  const setHeader = jest.fn();
  const host = {
    switchToHttp: () => ({ getResponse: () => ({ ...response, setHeader, header: setHeader }) }),
  };
  setHeaders(host as unknown as ExecutionContext, { RateLimit: '"key";r=1;t=1' });
  expect(setHeader).not.toHaveBeenCalled();
});

it('the address of a caller comes from the framework, else from the socket, else it is unknown', () => {
  const request = nodeRequest({ address: '10.0.0.1' });
  expect(addressOf(Object.assign(Object.create(request), { ip: '192.0.2.1' }))).toBe('192.0.2.1');
  expect(addressOf(request)).toBe('10.0.0.1');
  expect(addressOf(nodeRequest({}))).toBeNull();
});

it('the address of a caller without a socket is unknown, and the framework is not asked', () => {
  const express = { headers: {} };
  Object.setPrototypeOf(express, {
    get ip() {
      throw new TypeError("Cannot read properties of undefined (reading 'remoteAddress')");
    },
  });
  expect(addressOf(express as ApiKeyRequest)).toBeNull();
  expect(addressOf({ headers: {}, ip: '192.0.2.1' } as ApiKeyRequest)).toBe('192.0.2.1');
  expect(addressOf(nodeRequest({ address: '' }))).toBeNull();
  expect(addressOf(Object.assign(nodeRequest({ address: '192.0.2.1' }), { ip: '' }))).toBe('192.0.2.1');
});

it('the address of a caller is unknown if the framework returns an invalid one, whatever the socket has', () => {
  const request = nodeRequest({ address: '10.0.0.1' });
  expect(addressOf(Object.assign(request, { ip: 'written by the caller' }))).toBeNull();
});

it.each([
  ['text', 'body'],
  ['bytes', Buffer.from('body')],
  ['null', null],
])('the property raw of a request is not used as the request if it is %s', (_, raw) => {
  const request = { raw, headers: { 'x-request-id': 'r-1' } } as unknown as ApiKeyRequest;
  expect(requestIdOf(request)).toBe('r-1');
});

it.each([
  ['pairs', [['X-Request-Id', 'r-1']]],
  ['nothing', undefined],
])('headers are read if the header lines of a request are %s', (_, rawHeaders) => {
  const request = { rawHeaders, headers: { 'X-Request-Id': 'r-1' } } as unknown as ApiKeyRequest;
  expect(requestIdOf(request)).toBe('r-1');
});

it.each([
  ['the header', { headers: { 'x-request-id': 'r-1' } }, 'r-1'],
  ['nothing, if no id is sent', {}, null],
  ['nothing, if the id is long enough to be a key', { headers: { 'x-request-id': 'x'.repeat(49) } }, null],
  ['nothing, if the id contains invalid characters', { headers: { 'x-request-id': 'a b' } }, null],
])('the id of a request comes from %s', (_, fields, id) => {
  expect(requestIdOf(nodeRequest(fields))).toBe(id);
});

it('a request of an adapter that gives no headers presents no credential', () => {
  const { rawHeaders, headers } = headOf({} as ApiKeyRequest);
  expect([rawHeaders, headers]).toEqual([[], {}]);
});
