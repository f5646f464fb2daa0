import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['dates of SQL', 'int8 as a BigInt'], ['service', 'lifecycle']);
