-- Takes the cell if nobody plans it, or if its planner is still exactly as expected.
return answer(function()
  local expected = asked.expected
  local held = cell[K.planner]
  local is_expected = expected and expected[1] == cell[K.term] and expected[2] == cell[K.stamp]
  if held and held ~= asked.planner and not is_expected then
    return { held = { held, cell[K.term], cell[K.stamp] } }
  end
  local mark
  if held == asked.planner then
    mark = finish()
  else
    cell[K.term], cell[K.planner], cell[K.stamp] = cell[K.term] + 1, asked.planner, 0
    mark = finish()
  end
  return { acquired = { cell[K.term], mark[1], mark[2] } }
end)
