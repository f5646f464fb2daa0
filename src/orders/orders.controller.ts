import { Body, Controller, Get, NotFoundException, Param, Post, Query } from '@nestjs/common';
import { ApiKeyAuth, CurrentUser, Scopes } from 'nestjs-api-key';
import { User } from '../users/user.entity';
import { CreateOrder, PageQuery, presentOrder } from './order.dto';
import { OrdersService } from './orders.service';

@Controller('orders')
@ApiKeyAuth()
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get()
  @Scopes('orders:read')
  async list(@CurrentUser() user: User, @Query() page: PageQuery) {
    const { items, nextCursor } = await this.orders.list(user.id, page);
    return { items: items.map(presentOrder), nextCursor };
  }

  @Get(':id')
  @Scopes('orders:read')
  async show(@CurrentUser() user: User, @Param('id') id: string) {
    const order = await this.orders.find(user.id, id);
    if (!order) throw new NotFoundException('There is no such order.');
    return presentOrder(order);
  }

  @Post()
  @Scopes('orders:write')
  async create(@CurrentUser() user: User, @Body() body: CreateOrder) {
    return presentOrder(await this.orders.create(user.id, body));
  }
}
