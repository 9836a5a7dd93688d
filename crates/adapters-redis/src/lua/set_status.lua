-- Opens, cordons or drains workers.

-- What a worker is closed for after a change. A drain that has come due stays due, however often it is asked for again.
local function closed_after(row, change)
  if change.to == 'draining' and not (row[W.closed] == 'draining' and row[W.due]) then
    return 'draining', change.within, false
  elseif change.to == 'draining' then
    return row[W.closed], row[W.within], row[W.due]
  end
  return change.to, false, false
end

local function is_same_time(a, b)
  return a == b or a and b and a[1] == b[1] and a[2] == b[2]
end

local function change_one(change)
  local row = worker(change.worker)
  if not row then
    return 'no_such_worker'
  end
  local closed, within, is_due = closed_after(row, change)
  if closed == row[W.closed] and is_same_time(within, row[W.within]) and is_due == row[W.due] then
    return 'already'
  end
  row[W.closed], row[W.within], row[W.due] = closed, within, is_due
  put_worker(change.worker, row)
  if change.to == 'draining' then
    give_back_placed(change.worker)
  end
  return 'done'
end

return answer(function()
  local outcomes = {}
  for at, change in ipairs(asked.changes) do
    outcomes[at] = change_one(change)
  end
  finish()
  return outcomes
end)
