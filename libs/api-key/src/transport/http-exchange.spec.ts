import type { ExecutionContext } from '@nestjs/common';
import { type ApiKeyRequest, addressOf, requestIdOf, requestOf, setHeaders } from './http-exchange';

const contextOf = (type: string) =>
  ({
    getType: () => type,
    switchToHttp: () => ({ getRequest: () => 'the request' }),
  }) as unknown as ExecutionContext;

const nodeRequest = (fields: { address?: string; headers?: object }) =>
  ({ socket: { remoteAddress: fields.address }, headers: fields.headers ?? {} }) as unknown as ApiKeyRequest;

it('the request of an HTTP context is what guards look at', () => {
  expect(requestOf(contextOf('http'))).toBe('the request');
});

it.each([
  'rpc',
  'ws',
  'graphql',
])('a guard that is asked about a context of %s lets nothing through', (type) => {
  expect(() => requestOf(contextOf(type))).toThrow(
    `nestjs-api-key guards HTTP routes only, and was asked to guard ${type}: remove the guard there`,
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

it('the address of a caller is that of the framework, else that of the socket, else unknown', () => {
  const request = nodeRequest({ address: '10.0.0.1' });
  expect(addressOf(Object.assign(Object.create(request), { ip: '192.0.2.1' }))).toBe('192.0.2.1');
  expect(addressOf(request)).toBe('10.0.0.1');
  expect(addressOf(nodeRequest({}))).toBeNull();
});

it('the address of a caller without a socket is unknown, and not asked of the framework', () => {
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

it('the address of a caller is unknown if what the framework tells is none, whatever the socket tells', () => {
  const request = nodeRequest({ address: '10.0.0.1' });
  expect(addressOf(Object.assign(request, { ip: 'written by the caller' }))).toBeNull();
});

it.each([
  ['text', 'body'],
  ['bytes', Buffer.from('body')],
  ['null', null],
])('what an application keeps as raw on a request is not taken for a request if it is %s', (_, raw) => {
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
  ['nobody, where there is none', {}, null],
  ['nobody, where it is long enough to be a key', { headers: { 'x-request-id': 'x'.repeat(49) } }, null],
  ['nobody, where it holds what no id does', { headers: { 'x-request-id': 'a b' } }, null],
])('the id of a request is told by %s', (_, fields, id) => {
  expect(requestIdOf(nodeRequest(fields))).toBe(id);
});
