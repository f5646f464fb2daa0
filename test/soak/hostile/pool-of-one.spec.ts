import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['a pool of one'], ['service', 'lifecycle']);
