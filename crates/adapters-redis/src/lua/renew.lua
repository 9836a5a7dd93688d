-- Moves the planner's stamp; or leaves the cell to the next planner at once.
return answer(function()
  local refusal = fence(asked.mandate)
  if not refusal and asked.resigns then
    cell[K.planner], cell[K.stamp] = false, 0
  end
  finish()
  return refusal or 'none'
end)
