import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['dates of POSTGRES', 'entities without their constructor'], ['service', 'lifecycle']);
