import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('entities without their constructor', ['service', 'lifecycle']);
