import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('int8 as a BigInt', ['service', 'lifecycle']);
