import { addressList, isAddress, isCidr, listHas } from './ip-address';

describe('an address or CIDR block', () => {
  it.each([
    '10.0.0.1',
    '10.0.0.0/8',
    '10.1.2.3/32',
    '0.0.0.0/0',
    '::1',
    '::',
    'fd00::/8',
    '::/0',
    '2001:db8::1/128',
    '2001:DB8::/32',
    '::ffff:10.0.0.0/104',
  ])('may be %s', (text) => {
    expect(isCidr(text)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['a blank', ' '],
    ['a block without an address', '/8'],
    ['an address with an empty width', '10.0.0.0/'],
    ['an IPv4 block of 33 bits', '10.0.0.0/33'],
    ['an IPv6 block of 129 bits', '::1/129'],
    ['a negative width', '10.0.0.0/-1'],
    ['a width that is no decimal number', '10.0.0.0/1e1'],
    ['a net mask', '10.0.0.0/255.0.0.0'],
    ['two widths', '10.0.0.0/8/8'],
    ['an address of three parts', '10.0.0'],
    ['an octet beyond 255', '10.0.0.256'],
    ['an octet with a leading zero', '010.0.0.1'],
    ['a hexadecimal octet', '0x7f.0.0.1'],
    ['a whole number', '2130706433'],
    ['an address with a zone', 'fe80::1%eth0'],
    ['a block with a zone', 'fe80::1%eth0/64'],
    ['an address in brackets', '[::1]'],
    ['an address with a port', '10.0.0.1:80'],
    ['a list', '10.0.0.1,10.0.0.2'],
    ['a range', '10.0.0.1-10.0.0.9'],
    ['a blank before it', ' 10.0.0.1'],
    ['a line end after it', '10.0.0.1\n'],
    ['a host name', 'localhost'],
    ['a name of addresses', 'loopback'],
    ['true', true],
    ['a number of hops', 1],
    ['null', null],
    ['undefined', undefined],
    ['a list of one address', ['10.0.0.1']],
  ])('may not be %s', (_, value) => {
    expect(isCidr(value)).toBe(false);
  });
});

describe('a list of', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0'],
    ['10.0.0.0/8', '10.255.255.255'],
    ['10.0.0.0/8', '::ffff:10.1.2.3'],
    ['10.0.0.0/8', '::ffff:a01:203'],
    ['10.0.0.0/8', '::FFFF:10.1.2.3'],
    ['10.0.0.1', '10.0.0.1'],
    ['192.168.4.0/23', '192.168.5.255'],
    ['172.16.0.0/12', '172.31.0.1'],
    ['0.0.0.0/0', '203.0.113.9'],
    ['::1', '::1'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['fd00::/8', 'fdff::1'],
    ['2001:db8::/33', '2001:db8:7fff::1'],
    ['::/0', '2001:db8::1'],
    ['fe80::/10', 'fe80::1%eth0'],
    ['fe80::/10', 'fe80::1%2'],
    ['::ffff:127.0.0.0/104', '::ffff:127.0.0.1'],
    ['::ffff:127.0.0.0/104', '127.0.0.1'],
  ])('%s contains %s', (cidr, address) => {
    expect(listHas(addressList([cidr]), address)).toBe(true);
  });

  it.each([
    ['10.0.0.0/8', '11.0.0.0'],
    ['10.0.0.0/8', '9.255.255.255'],
    ['10.0.0.0/8', '::ffff:11.0.0.1'],
    ['10.0.0.0/8', '::10.0.0.1'],
    ['10.0.0.0/8', '64:ff9b::10.0.0.1'],
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.1/32', '10.0.0.0'],
    ['192.168.4.0/23', '192.168.6.0'],
    ['172.16.0.0/12', '172.32.0.0'],
    ['0.0.0.0/0', '::1'],
    ['::1', '::2'],
    ['::1', '127.0.0.1'],
    ['fd00::/8', 'fe00::1'],
    ['2001:db8::/33', '2001:db8:8000::1'],
    ['127.0.0.0/8', '::1'],
    ['::ffff:127.0.0.0/104', '::ffff:128.0.0.1'],
  ])('%s does not contain %s', (cidr, address) => {
    expect(listHas(addressList([cidr]), address)).toBe(false);
  });

  it.each([
    '',
    ' ',
    'localhost',
    '10.0.0.1:80',
    '[10.0.0.1]',
    '10.0.0',
    '/tmp/api.sock',
    '%eth0',
    'unknown',
  ])('all addresses does not contain %j, which is not an address', (text) => {
    expect(listHas(addressList(['0.0.0.0/0', '::/0']), text)).toBe(false);
  });

  it('several blocks contains each address of any of them, for IPv4 and IPv6', () => {
    const list = addressList(['10.0.0.0/8', '192.0.2.7', 'fd00::/8']);
    expect(['10.9.9.9', '192.0.2.7', 'fd12::1', '192.0.2.8', 'fe80::1'].map((a) => listHas(list, a))).toEqual(
      [true, true, true, false, false],
    );
  });

  it('no blocks contains no address', () => {
    expect(listHas(addressList([]), '127.0.0.1')).toBe(false);
    expect(listHas(addressList([]), '::1')).toBe(false);
  });

  it('invalid blocks contains no address', () => {
    expect(listHas(addressList(['localhost', '10.0.0.0/33', '']), '10.0.0.0')).toBe(false);
  });
});

describe('an address', () => {
  it.each([
    '192.0.2.1',
    '::1',
    '2001:DB8::1',
    '::ffff:192.0.2.1',
    'fe80::1%eth0',
    'fe80::1%12',
  ])('may be %s', (text) => {
    expect(isAddress(text)).toBe(true);
  });

  it.each<[string, unknown]>([
    ['nothing', ''],
    ['undefined', undefined],
    ['null', null],
    ['a number', 1],
    ['a list', ['192.0.2.1']],
    ['a block', '10.0.0.0/8'],
    ['a port beside it', '192.0.2.1:443'],
    ['brackets', '[::1]'],
    ['a blank after it', '192.0.2.1 '],
    ['a zone that is long enough to be a key', `fe80::1%${'a'.repeat(43)}`],
    ['an empty zone', 'fe80::1%'],
    ['another text', 'unknown'],
  ])('is not %s', (_, text) => {
    expect(isAddress(text)).toBe(false);
  });
});
