"""The statements of placing an order, each one round trip whatever the number of lines: this is the hottest write (docs/benchmarks.md)."""

CLAIM_KEY = """INSERT INTO shop_idempotencykey (caller, key, fingerprint, answer, created_at) VALUES (%s, %s, %s, '', %s)
    ON CONFLICT (caller, key) DO NOTHING RETURNING id"""

READ_KEY = "SELECT fingerprint, answer FROM shop_idempotencykey WHERE caller = %s AND key = %s"

READ_PRODUCTS = """SELECT p.id, p.name, p.price, p.stock IS NOT NULL, p.is_available, p.archived_at IS NOT NULL,
    (SELECT json_agg(json_build_array(g.name, g.minimum, g.maximum,
        (SELECT json_agg(json_build_array(c.id, c.name, c.price_delta::text, c.is_available))
            FROM shop_choice c WHERE c.group_id = g.id)) ORDER BY g.position, g.id)
        FROM shop_optiongroup g WHERE g.product_id = p.id)
    FROM shop_product p WHERE p.id = ANY(%s::bigint[])"""

# The order's number of its business day; the counter's row lock keeps the numbers without gaps until the transaction ends.
COUNT = """INSERT INTO shop_daycounter AS d (day, newest) VALUES (%(day)s, 1)
    ON CONFLICT (day) DO UPDATE SET newest = d.newest + 1 RETURNING newest"""
NEW_IDS = """nextval('shop_order_id_seq'), ARRAY(SELECT nextval('shop_orderitem_id_seq') FROM generate_series(1, %(lines)s))"""

NUMBER = f"WITH counter AS ({COUNT}) SELECT (SELECT newest FROM counter), {NEW_IDS}, NULL::bigint[]"  # noqa: S608

# Rows are locked in the order of their ids, so that two orders cannot wait for one another; the update's condition is then checked on the
# locked rows. It answers the ids that had enough.
TAKE_STOCK_AND_NUMBER = f"""WITH wanted AS (SELECT * FROM unnest(%(products)s::bigint[], %(quantities)s::int[]) AS w (id, quantity)),
    locked AS (SELECT p.id FROM shop_product p WHERE p.id = ANY(%(products)s::bigint[]) ORDER BY p.id FOR NO KEY UPDATE),
    taken AS (UPDATE shop_product p SET stock = p.stock - w.quantity FROM wanted w, locked l
        WHERE p.id = w.id AND p.id = l.id AND p.stock >= w.quantity RETURNING p.id),
    counter AS ({COUNT})
    SELECT (SELECT newest FROM counter), {NEW_IDS}, ARRAY(SELECT id FROM taken)"""  # noqa: S608

GIVE_BACK = """WITH given AS (SELECT * FROM unnest(%(products)s::bigint[], %(quantities)s::int[]) AS w (id, quantity)),
    locked AS (SELECT p.id FROM shop_product p WHERE p.id = ANY(%(products)s::bigint[]) ORDER BY p.id FOR NO KEY UPDATE)
    UPDATE shop_product p SET stock = p.stock + g.quantity FROM given g, locked l
    WHERE p.id = g.id AND p.id = l.id AND p.stock IS NOT NULL"""

INSERT = """WITH placed AS (
        INSERT INTO shop_order (id, business_date, number, status, payment_status, channel, customer_id, placed_by_id, guest_name,
            guest_phone, guest_email, "table", notes, pickup_at, subtotal, tip, total, currency, secret, created_at, updated_at)
        VALUES (%(id)s, %(day)s, %(number)s, 'pending', 'pending', %(channel)s, %(customer)s, %(placed_by)s, %(guest_name)s,
            %(guest_phone)s, %(guest_email)s, %(table)s, %(notes)s, %(pickup_at)s, %(subtotal)s, %(tip)s, %(total)s, %(currency)s,
            %(secret)s, %(now)s, %(now)s)),
    items AS (
        INSERT INTO shop_orderitem (id, order_id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)
        SELECT i.id, %(id)s, i.product_id, i.name, i.quantity, i.unit_price, i.choices::jsonb, i.subtotal, i.notes, i.stock_taken
        FROM unnest(%(item_ids)s::bigint[], %(products)s::bigint[], %(names)s::text[], %(quantities)s::int[], %(prices)s::numeric[],
            %(choices)s::text[], %(subtotals)s::numeric[], %(item_notes)s::text[], %(counted)s::boolean[])
            AS i (id, product_id, name, quantity, unit_price, choices, subtotal, notes, stock_taken)),
    event AS (
        INSERT INTO shop_orderevent (order_id, at, kind, before, actor_id, note) VALUES (%(id)s, %(now)s, 'placed', '', %(actor)s, '')),
    answer AS (UPDATE shop_idempotencykey SET answer = %(answer)s WHERE id = %(key_id)s)
    UPDATE public.tenants_pulse SET orders = orders + 1, menu = menu + %(menu_changes)s WHERE cafeteria_id = %(cafeteria)s"""
