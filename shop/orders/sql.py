"""The statements of placing an order, each one round trip whatever the number of lines: this is the hottest write (docs/benchmarks.md)."""

from core.prepared import Statement

READ_KEY = "SELECT fingerprint, order_id FROM shop_idempotencykey WHERE caller = %(caller)s AND key = %(key)s"

# One row a product; every row also says what the key has placed, if anything.
_READ = """SELECT p.id, p.name, p.price, p.stock IS NOT NULL, p.is_available, p.archived_at IS NOT NULL,
    (SELECT json_agg(json_build_array(g.name, g.minimum, g.maximum,
        (SELECT json_agg(json_build_array(c.id, c.name, c.price_delta::text, c.is_available))
            FROM shop_choice c WHERE c.group_id = g.id)) ORDER BY g.position, g.id)
        FROM shop_optiongroup g WHERE g.product_id = p.id){key}
    FROM shop_product p WHERE p.id = ANY(%(products)s::bigint[])"""
_KEY = """, (SELECT order_id FROM shop_idempotencykey WHERE caller = %(caller)s AND key = %(key)s)"""
READ_PRODUCTS = Statement("read_products", _READ.format(key=", NULL::bigint"), products="bigint[]")
READ_PRODUCTS_AND_KEY = Statement("read_products_and_key", _READ.format(key=_KEY), products="bigint[]", caller="text", key="text")

# Rows are locked in the order of their ids, so that two orders cannot wait for one another; the update's condition is then checked on the
# locked rows. It answers the ids that had enough.
TAKE_STOCK = """wanted AS (SELECT * FROM unnest(%(counted_products)s::bigint[], %(counted_quantities)s::int[]) AS w (id, quantity)),
    locked AS (SELECT p.id FROM shop_product p WHERE p.id = ANY(%(counted_products)s::bigint[]) ORDER BY p.id FOR NO KEY UPDATE),
    taken AS (UPDATE shop_product p SET stock = p.stock - w.quantity FROM wanted w, locked l
        WHERE p.id = w.id AND p.id = l.id AND p.stock >= w.quantity RETURNING p.id),"""

# The counter's row lock keeps the day's numbers without gaps until the transaction ends.
PLACE = """WITH {stock}
    counter AS (INSERT INTO shop_daycounter AS d (day, newest) VALUES (%(day)s, 1)
        ON CONFLICT (day) DO UPDATE SET newest = d.newest + 1 RETURNING newest),
    placed AS (
        INSERT INTO shop_order (business_date, number, status, payment_status, channel, customer_id, placed_by_id, guest_name,
            guest_phone, guest_email, "table", notes, pickup_at, subtotal, tip, total, currency, secret, created_at, updated_at)
        SELECT %(day)s, newest, %(status)s, %(payment_status)s, %(channel)s, %(customer)s::bigint, %(placed_by)s::bigint, %(guest_name)s,
            %(guest_phone)s, %(guest_email)s, %(table)s, %(notes)s, %(pickup_at)s::timestamptz, %(subtotal)s, %(tip)s, %(total)s,
            %(currency)s, %(secret)s, %(now)s, %(now)s FROM counter
        RETURNING id, number),
    items AS (
        INSERT INTO shop_orderitem (order_id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)
        SELECT placed.id, i.product_id, i.name, i.quantity, i.unit_price, i.choices::jsonb, i.subtotal, i.notes, i.stock_taken
        FROM placed, unnest(%(products)s::bigint[], %(names)s::text[], %(quantities)s::int[], %(prices)s::numeric[],
            %(choices)s::text[], %(subtotals)s::numeric[], %(item_notes)s::text[], %(counted)s::boolean[])
            WITH ORDINALITY AS i (product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken, position)
        ORDER BY i.position RETURNING id),
    event AS (
        INSERT INTO shop_orderevent (order_id, at, kind, before, actor_id, note)
        SELECT id, %(now)s, 'placed', '', %(actor)s::bigint, '' FROM placed),
    pulse AS (UPDATE public.tenants_pulse SET orders = orders + 1, menu = menu + %(menu_changes)s WHERE cafeteria_id = %(cafeteria)s){key}
    SELECT placed.id, placed.number, ARRAY(SELECT id FROM items ORDER BY id), {answers} FROM placed"""
KEEP_KEY = """, kept AS (
        INSERT INTO shop_idempotencykey (caller, key, fingerprint, order_id, created_at)
        SELECT %(caller)s, %(key)s, %(fingerprint)s, id, %(now)s FROM placed
        ON CONFLICT (caller, key) DO NOTHING RETURNING 1)"""


TYPES = {
    "counted_products": "bigint[]",
    "counted_quantities": "int[]",
    "day": "date",
    "now": "timestamptz",
    "status": "text",
    "payment_status": "text",
    "channel": "text",
    "customer": "bigint",
    "placed_by": "bigint",
    "actor": "bigint",
    "guest_name": "text",
    "guest_phone": "text",
    "guest_email": "text",
    "table": "text",
    "notes": "text",
    "pickup_at": "timestamptz",
    "subtotal": "numeric",
    "tip": "numeric",
    "total": "numeric",
    "currency": "text",
    "secret": "text",
    "products": "bigint[]",
    "names": "text[]",
    "quantities": "int[]",
    "prices": "numeric[]",
    "choices": "text[]",
    "subtotals": "numeric[]",
    "item_notes": "text[]",
    "counted": "boolean[]",
    "menu_changes": "int",
    "cafeteria": "bigint",
    "caller": "text",
    "key": "text",
    "fingerprint": "text",
}


def place(*, counted: bool, keyed: bool) -> Statement:
    """The statement that places an order: with or without stock to take, and with or without an idempotency key to keep.

    It answers (order id, number, item ids in the order of the lines, ids of the products that had enough, whether the key was free).
    """
    taken = "ARRAY(SELECT id FROM taken)" if counted else "NULL::bigint[]"
    kept = "EXISTS (SELECT FROM kept)" if keyed else "true"
    sql = PLACE.format(stock=TAKE_STOCK if counted else "", key=KEEP_KEY if keyed else "", answers=f"{taken}, {kept}")
    name = "place_order" + ("_counted" if counted else "") + ("_keyed" if keyed else "")
    return Statement(name, sql, **TYPES)


PLACING = {(counted, keyed): place(counted=counted, keyed=keyed) for counted in (False, True) for keyed in (False, True)}

GIVE_BACK = """WITH given AS (SELECT * FROM unnest(%(products)s::bigint[], %(quantities)s::int[]) AS w (id, quantity)),
    locked AS (SELECT p.id FROM shop_product p WHERE p.id = ANY(%(products)s::bigint[]) ORDER BY p.id FOR NO KEY UPDATE)
    UPDATE shop_product p SET stock = p.stock + g.quantity FROM given g, locked l
    WHERE p.id = g.id AND p.id = l.id AND p.stock IS NOT NULL"""
