import { addressBlock } from './address-block';

it.each([
  ['an IPv4 address is itself', '203.0.113.7', '203.0.113.7'],
  ['also as an IPv4-mapped IPv6 address', '::ffff:203.0.113.7', '203.0.113.7'],
  ['only the first 64 bits of IPv6 count', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['the first 64 bits count for every spelling of the rest', '2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['the first 64 bits count with shortened zeros', '2001:0db8:0000:0000:ffff::1', '2001:db8:0:0::/64'],
  ['letters count in either case', '2001:DB8:A::1', '2001:db8:a:0::/64'],
  ['an IPv4 address at the end is accepted', '64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
  ['all groups may be written out', '1:2:3:4:5:6:203.0.113.7', '1:2:3:4::/64'],
  ['a zone does not count', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['loopback', '::1', '0:0:0:0::/64'],
  ['an invalid address has no block', 'unix socket', ''],
  ['an empty address has no block', '', ''],
  ['an unknown address has no block', null, ''],
])('%s: %s', (_, address, block) => {
  expect(addressBlock(address)).toBe(block);
});
