import { addressBlock } from './address-block';

it.each([
  ['an IPv4 address is itself', '203.0.113.7', '203.0.113.7'],
  ['also where it comes mapped into IPv6', '::ffff:203.0.113.7', '203.0.113.7'],
  ['of IPv6 the first 64 bits count', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['however the rest is written', '2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['and the zeros among them', '2001:0db8:0000:0000:ffff::1', '2001:db8:0:0::/64'],
  ['in whichever case', '2001:DB8:A::1', '2001:db8:a:0::/64'],
  ['with an IPv4 address at the end', '64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
  ['and in all groups', '1:2:3:4:5:6:203.0.113.7', '1:2:3:4::/64'],
  ['a zone does not count', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['loopback', '::1', '0:0:0:0::/64'],
  ['what is no address is nobody', 'unix socket', ''],
  ['nothing is nobody', '', ''],
  ['an unknown address is nobody', null, ''],
])('%s: %s', (_, address, block) => {
  expect(addressBlock(address)).toBe(block);
});
