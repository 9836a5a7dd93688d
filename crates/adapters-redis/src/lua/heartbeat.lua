-- Keeps the greatest number of each caller that is admitted.
return answer(function()
  local answers = {}
  for at, caller in ipairs(asked.callers) do
    notice(caller.history, caller.revision)
    local row = legible_worker(caller.worker)
    if workers[caller.worker] == ILLEGIBLE then
      answers[at] = 'register'
    else
      answers[at] = admit(row, caller)
      -- One call may carry the same worker twice, in any order.
      if answers[at] == 'ok' then
        numbers[caller.worker] = math.max(numbers[caller.worker] or number_of(caller.worker), caller.number)
      end
    end
  end
  finish()
  return answers
end)
