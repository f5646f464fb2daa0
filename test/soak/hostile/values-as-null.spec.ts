import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['all as null'], ['service', 'lifecycle']);
