import { isIP } from 'node:net';
import { withoutZone } from '../model/ip-address';

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
const GROUPS = 8;
const GROUPS_OF_NETWORK = 4;

/**
 * Returns the address block that counts as one client. For IPv4, the block is the address itself,
 * even if the address is mapped into IPv6. For IPv6, the block is the /64, because one subscriber
 * has the whole /64. Returns an empty string if the text is not an address.
 */
export function addressBlock(address: string | null): string {
  const plain = withoutZone(address ?? '');
  const version = isIP(plain);
  if (version !== 6) return version === 4 ? plain : '';
  return MAPPED.exec(plain)?.[1] ?? `${networkOf(plain)}::/64`;
}

function networkOf(address: string): string {
  const head = address.replace(/::.*/, '');
  const [first, last] = [groupsOf(head), groupsOf(address.slice(head.length + '::'.length))];
  const gap = Array<string>(Math.max(0, GROUPS - first.length - last.length)).fill('0');
  const groups = [...first, ...gap, ...last].slice(0, GROUPS_OF_NETWORK);
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':');
}

/**
 * Splits a part of an IPv6 address into groups. An IPv4 address at the end counts as two groups,
 * which are never part of the /64.
 */
function groupsOf(part: string): string[] {
  return part === '' ? [] : part.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]));
}
