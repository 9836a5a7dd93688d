-- Removes workers; of those that are gone for good, at most so many containers each go back at once.

-- Whether a worker is given up, never came, or has not called since it was seen.
local function is_silent(id, row, how)
  local is_seen = how.number and how.boot == boot and how.number == number_of(id)
  return is_seen or row[W.life] == 'lost' or not row[W.key]
end

local function remove(how)
  local id = how.worker
  local row = worker(id)
  if not row then
    return 'no_such_worker'
  elseif how.is_lost then
    if how.incarnation ~= row[W.incarnation] then
      return 'registered'
    elseif not is_silent(id, row, how) then
      return 'lives'
    end
    row[W.life], row[W.boot] = 'lost', false
    put_worker(id, row)
    local given_back = give_back_all(id, asked.limit, true)
    if given_back[1] == 'more' then
      return { more = given_back[2] }
    end
  end
  if row[W.containers] > 0 then
    -- Also of one that is lost: what cannot be decoded cannot be given back.
    return { owns = row[W.containers] }
  end
  remove_worker(id)
  return 'done'
end

return answer(function()
  local outcomes = {}
  for at, how in ipairs(asked.removals) do
    outcomes[at] = remove(how)
  end
  finish()
  return outcomes
end)
