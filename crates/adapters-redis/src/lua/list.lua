-- Reads containers by id after one of them. A page may be short of its limit and yet go on after the last that was looked
-- at: then what was wanted is rare among what there is.

local LOOKED_AT_MAX = 10000

local function ids_of(members, from)
  local ids = {}
  for at, member in ipairs(members) do
    ids[at] = string.sub(member, from)
  end
  return ids
end

local function under(table_key, prefix, limit, after)
  local from = after and after ~= '' and '(' .. prefix .. after or '[' .. prefix
  return ids_of(call('ZRANGEBYLEX', table_key, from, '(' .. prefix .. '\255', 'LIMIT', 0, limit), #prefix + 1)
end

-- The first of several lists, each of them in order.
local function merged(lists)
  local heads, ids = {}, {}
  for at in ipairs(lists) do
    heads[at] = 1
  end
  while #ids < asked.limit do
    local least
    for at, list in ipairs(lists) do
      local head = list[heads[at]]
      if head and (not least or is_before(head, lists[least][heads[least]])) then
        least = at
      end
    end
    if not least then
      break
    end
    ids[#ids + 1] = lists[least][heads[least]]
    heads[least] = heads[least] + 1
  end
  return ids
end

-- Those of one phase among all that own room.
local function live(phase)
  local ids, rows, after, looked_at = {}, {}, asked.after, 0
  while true do
    local page = under(PHASES, 'l', 1000, after)
    for at, row in ipairs(fields(CONTAINERS, page)) do
      local is_row, decoded_row = pcall(unpack_row, row or '')
      after = page[at]
      if is_row and type(decoded_row) == 'table' and decoded_row[2] == PHASE[phase] then
        ids[#ids + 1], rows[#rows + 1] = page[at], row
        if #ids == asked.limit then
          return ids, rows, after
        end
      end
    end
    looked_at = looked_at + #page
    if #page < 1000 then
      return ids, rows, false
    elseif looked_at >= LOOKED_AT_MAX then
      return ids, rows, after
    end
  end
end

local function owned_by(worker)
  local members = call('ZRANGEBYLEX', OWNED, '[' .. worker .. '\0', '(' .. worker .. '\1')
  local ids, kept = ids_of(members, #worker + 9), {}
  table.sort(ids, is_before)
  for _, id in ipairs(ids) do
    if #kept < asked.limit and (not asked.after or is_before(asked.after, id)) then
      kept[#kept + 1] = id
    end
  end
  return kept
end

local ids, rows, after
local kind, name = asked.kind, asked.name
if kind == 'live' then
  ids, rows, after = live(name)
else
  if kind == 'all' then
    local lists = {}
    for at, letter in ipairs({ 'p', 'l', 's', 'f', 'x' }) do
      lists[at] = under(PHASES, letter, asked.limit, asked.after)
    end
    ids = merged(lists)
  elseif kind == 'phase' then
    ids = under(PHASES, name, asked.limit, asked.after)
  elseif kind == 'workspace' then
    ids = under(WORKSPACES, name .. '\0', asked.limit, asked.after)
  else
    ids = owned_by(name)
  end
  rows = fields(CONTAINERS, ids)
  after = #ids == asked.limit and ids[#ids]
end
local page = {}
for at, id in ipairs(ids) do
  page[at] = { id, rows[at] or '' }
end
return pack({ done = { page, after or false } })
