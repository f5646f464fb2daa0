import { BlockList, isIP } from 'node:net';

interface Block {
  readonly address: string;
  readonly bits: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** An address and a zone, which is the name of an interface: together shorter than any key. */
const SPELLED = /^([\da-f:.]{2,45})(?:%[\w.-]{1,15})?$/i;

/**
 * Whether a text is an IP address. If the application trusts a proxy that it should not, callers
 * can send any text as their address.
 */
export function isAddress(text: unknown): text is string {
  return typeof text === 'string' && isIP(SPELLED.exec(text)?.[1] ?? '') !== 0;
}

/** Whether text is an address, or a CIDR block, of IPv4 or IPv6; zones (`%eth0`) are not. */
export function isCidr(text: unknown): text is string {
  return typeof text === 'string' && parseCidr(text) !== null;
}

/** An address without its zone. */
export function withoutZone(address: string): string {
  return address.replace(/%.*/s, '');
}

/**
 * A list of the addresses in CIDR blocks that passed `isCidr`. A single address is a block of one.
 */
export function addressList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const block = parseCidr(cidr);
    if (block) list.addSubnet(block.address, block.bits, block.family);
  }
  return list;
}

/**
 * Whether a list contains the address of a socket. An IPv4-mapped IPv6 address matches IPv4 blocks.
 * Zones are ignored.
 */
export function listHas(list: BlockList, socketAddress: string): boolean {
  const address = withoutZone(socketAddress);
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Whether the outer block contains all addresses of the inner block. Both blocks passed `isCidr`.
 */
export function isCidrWithin(inner: string, outer: string): boolean {
  const [within, around] = [parseCidr(inner), parseCidr(outer)];
  if (!within || !around || within.family !== around.family || within.bits < around.bits) return false;
  return addressList([outer]).check(within.address, within.family);
}

function parseCidr(text: string): Block | null {
  const match = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  const address = match?.[1] ?? '';
  const version = isIP(address);
  const width = version === 6 ? 128 : 32;
  const bits = Number(match?.[2] ?? width);
  return version === 0 || bits > width ? null : { address, bits, family: version === 6 ? 'ipv6' : 'ipv4' };
}
